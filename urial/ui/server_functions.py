"""Functions that the page's script calls beside the stream of a run: a cached result, a stop, batches that were lost, a
download, a saved file, the state of loading.

Every question takes one JSON object and gets one: plain values, or {"error": one sentence}.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from urial import records
from urial.compare.request import Control
from urial.errors import RecordError, SettingsError, UrialError
from urial.records import Comparison
from urial.render import csv_table, report, view
from urial.ui import asking
from urial.ui.result_cache import Result, pack
from urial.ui.runs import check_id
from urial.ui.service import Service
from urial.ui.work import side_name

Answer = dict[str, Any]
Question = Callable[[dict[str, Any]], Answer]

FILE_LIMIT = 40_000_000  # characters of a saved comparison: some ten thousand tokens


def questions(service: Service) -> list[Question]:
    """All of them, bound to a service; their names are what the page's script calls."""
    asked = (look_up, stop, since, status, whole, title, export, open_record, labels)
    return [answering(question, service) for question in asked]


def answering(question: Callable[..., Answer], *bound: object) -> Question:
    """A question that Gradio can serve: one object in, one out, a mistake as {"error": sentence}."""

    def answer(data: dict[str, Any]) -> Answer:
        try:
            return question(*bound, data if isinstance(data, dict) else {})
        except UrialError as error:
            return {"error": str(error)}

    answer.__name__ = question.__name__  # the name by which the script calls it
    return answer


def look_up(service: Service, data: dict[str, Any]) -> Answer:
    """{"hit": the view's data, "computed_at"} for a question that has been answered, else {"miss": true}."""
    run_id = str(data.get("id"))
    check_id(run_id)
    ask = asking.parse(data.get("ask") or {})
    found = service.results.get(service.key(ask))
    if found is None:
        service.models.start(ask.pair)
        return {"miss": True}
    service.results.put(run_id, found)
    return {"hit": _view(service, found), "computed_at": found.computed_at.isoformat(timespec="seconds")}


def stop(service: Service, data: dict[str, Any]) -> Answer:
    """Stop "base", "aligned" or "both" of the run `id`, also while it waits."""
    run_id, side = str(data.get("id")), str(data.get("side"))
    if side == "both":
        service.runs.stop(run_id, Control.stop_all)
    else:
        name = side_name(side)
        service.runs.stop(run_id, lambda control: control.stop(name))
    return {}


def since(service: Service, data: dict[str, Any]) -> Answer:
    """The batches of the run `id` from number `seq` on; `known` is false for a forgotten run."""
    run_id, seq = str(data.get("id")), data.get("seq")
    return {"batches": service.runs.since(run_id, seq if type(seq) is int else 0), **service.runs.state(run_id)}


def status(service: Service, data: dict[str, Any]) -> Answer:
    """Where the models of `pair` are: {"state", "message", "fraction"}."""
    found = service.models.status(str(data.get("pair")))
    return {"state": found.state, "message": found.message, "fraction": found.fraction}


def whole(service: Service, data: dict[str, Any]) -> Answer:
    """All of the result `id` for the view, for a page that missed rows."""
    return {"record": _view(service, _result(service, data))}


def title(service: Service, data: dict[str, Any]) -> Answer:
    """People's name for the pair called `pair`; empty for one that this server does not have."""
    found = service.models.pairs.get(str(data.get("pair")))
    return {"title": found.title if found else ""}


def export(service: Service, data: dict[str, Any]) -> Answer:
    """The result `id` as a file: {"name", "type", "text"}; `kind` is json, html or csv."""
    result, kind = _result(service, data), data.get("kind")
    if kind == "json":
        return _file(result.comparison(), "json", "application/json", result.json_text())
    comparison = result.comparison()
    if kind == "html":
        return _file(comparison, "html", "text/html", report.comparison_page(comparison, _note(service, comparison)))
    if kind == "csv":
        return _file(comparison, "csv", "text/csv", csv_table.to_csv(comparison))
    raise SettingsError("A comparison can be kept as HTML, JSON, CSV or PNG; choose one of them.")


def open_record(service: Service, data: dict[str, Any]) -> Answer:
    """A saved comparison, `text`, for the view; no model is needed. {"id", "record"}."""
    text, name = data.get("text"), str(data.get("name") or "the file")[:80]
    if not isinstance(text, str) or len(text) > FILE_LIMIT:
        raise RecordError(f"{name} is too large to be a saved comparison; choose a JSON file saved by this page.")
    result = pack(records.from_json(text, source=name))
    result_id = secrets.token_hex(16)
    service.results.put(result_id, result)
    return {"id": result_id, "record": _view(service, result)}


def labels(service: Service, data: dict[str, Any]) -> Answer:
    """A guard's labels of the result `id`; {"none": true} where no guard is named. The answers have ended already."""
    if service.guard is None:
        return {"none": True}
    return service.guard.labels(_result(service, data).comparison())


def _result(service: Service, data: dict[str, Any]) -> Result:
    found = service.results.get(str(data.get("id")))
    if found is None:
        raise SettingsError("This comparison is no longer kept here; press Compare to run it again.")
    return found


def _view(service: Service, result: Result) -> Answer:
    comparison = result.comparison()
    return view.payload(comparison, _note(service, comparison))


def _note(service: Service, comparison: Comparison) -> str:
    pair = service.models.pairs.get(comparison.pair.name)
    return pair.note if pair else ""


def _file(comparison: Comparison, ending: str, kind: str, text: str) -> Answer:
    return {"name": f"{file_stem(comparison.query)}.{ending}", "type": kind, "text": text}


def file_stem(query: str) -> str:
    """A file name that no system trips over, from the first words of a query."""
    words = re.sub(r"[^a-z0-9]+", "-", query.lower()[:80]).strip("-")[:48].strip("-")
    return f"urial-{words}" if words else "urial-comparison"
