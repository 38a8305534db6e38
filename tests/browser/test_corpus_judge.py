"""A judge's verdicts in the report and in the Corpus tab: bars, differences, reasons, filters; no text of it runs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo_page import Visit, visit  # noqa: F401  (a fixture)
from tests.browser.report_page import watched_file
from tests.support import ui_server
from tests.support.judge_server import JudgeServer, Seen, Text, verdict
from tests.support.judging import judge
from tests.support.lines_builder import make_lines, write_lines
from urial.cli.main import main
from urial.judge import summary

pytestmark = pytest.mark.browser

REASON = "<img src=x onerror=window.__pwned=1></script><script>window.__pwned=1</script> =1+1"
GUARD = """
default: tiny
guard:
  server: {{base_url: "{url}", model: "<b>guard</b>"}}
  template: llama_guard_3
pairs:
  - name: tiny
    title: Tiny
    base: {{hub: a/b, revision: main}}
    aligned: {{hub: a/c, revision: main}}
    licence: Apache-2.0
"""


def rule(seen: Seen) -> Any:
    """Points by the length of an answer, one reason that is hostile."""
    found = verdict(seen, lambda text: 1 + len(text) % 5)
    for place, one in enumerate(value for value in found.values() if isinstance(value, dict)):
        one["reason"] = REASON if place == 0 else f"about {len(seen.parts)} parts"
        if place == 1 and one.get("score") == 2:
            one["score"] = None
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve questions by two methods, judged by two rubrics and labelled; the report is the command's own."""
    made = write_lines(tmp_path_factory.mktemp("judged"), make_lines(12))
    assert main(["corpus", "--out", str(made)]) == 0
    with ThreadPoolExecutor(1) as aside:  # Playwright's event loop has this thread
        aside.submit(judged, made).result()
    return made


def judged(folder: Path) -> None:
    with JudgeServer(rule=rule) as server:
        for rubric in ("six-aspects", "pairwise"):
            judge(folder, server, rubric)
    with JudgeServer(raw=lambda _: Text("unsafe\nS2")) as server:
        models = folder / "models.yaml"
        models.write_text(GUARD.format(url=server.url), encoding="utf-8")
        assert main(["judge", str(folder), "--guard", "--models", str(models)]) == 0


@pytest.fixture
def show(chromium: Browser, folder: Path) -> Iterator:
    with watched_file(chromium, folder / "report.html", ".uc-judge") as opened:
        yield opened


def group(folder: Path, rubric: str) -> dict[str, Any]:
    (found,) = [
        one for one in summary(folder)["groups"] if one["rubric"].startswith(rubric) and one["method"] == "urial"
    ]
    return found


def sheet(page: Page, title: str) -> dict[str, dict[str, str]]:
    """A figure's CSV, by aspect."""
    with page.expect_download() as caught:
        page.get_by_label(f"{title} as CSV").click()
    with Path(caught.value.path()).open(encoding="utf-8", newline="") as file:
        return {row["aspect"]: row for row in csv.DictReader(file)}


def test_six_bars_a_side_are_the_summarys_means(show, folder: Path) -> None:
    page, found = show(), group(folder, "six-aspects")
    scores = page.locator(".uc-judge .uc-figure", has=page.get_by_role("heading", name="Scores"))
    for side in ("base", "aligned"):
        told = [one["mean"] for one in found["sides"][side]["aspects"].values()]
        bars = scores.locator(f"rect.uc-{side}")
        expect(bars).to_have_count(len(told))
        widths = [float(bar.get_attribute("width")) for bar in bars.all()]
        for width, mean in zip(widths, told, strict=True):
            assert width / (mean - 1) == pytest.approx(widths[0] / (told[0] - 1), rel=1e-6)
        for mean in told:
            expect(scores.locator(".uc-value", has_text=f"{mean:.2f}").first).to_be_visible()
    expect(scores.locator(".uc-name")).to_have_text(
        ["helpfulness", "clarity", "factuality", "depth", "engagement", "safety"]
    )
    expect(scores.locator(".uc-value", has_text="not scored")).to_have_count(2)  # nobody asked for harm
    rate = found["win_rate"]
    expect(page.locator(".uc-facts dd").first).to_contain_text(f"{100 * rate['raw']:.1f} %")
    scored, paired, won = (sheet(page, title) for title in ("Scores", "Differences in points", "Who won"))
    for aspect, one in found["differences"].items():
        assert float(paired[aspect]["aligned less base"]) == pytest.approx(one["mean"], abs=1e-4)
        assert int(paired[aspect]["questions"]) == one["n"]
        told = found["sides"]["aligned"]["aspects"][aspect]
        assert int(scored[aspect]["aligned not applicable"]) == told["not_applicable"]
        assert float(scored[aspect]["aligned as the original (N/A = 5)"]) == pytest.approx(
            told["as_original"], abs=1e-4
        )
    assert {name: int(row["aligned won"]) for name, row in won.items()} == {
        name: one["aligned"] for name, one in found["outcomes"].items()
    }
    for title in ("Differences in points", "Who won"):
        for ending, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
            with page.expect_download() as caught:
                page.get_by_label(f"{title} as {ending.upper()}").click()
            assert Path(caught.value.path()).read_bytes().startswith(start)


def test_the_judge_is_chosen_by_key_and_the_winner_filters_and_the_link_keeps_both(show, folder: Path) -> None:
    page, found = show(), group(folder, "pairwise")
    page.locator(".uc-judge input[type=radio]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".uc-judge input[type=radio]:checked")).to_be_focused()
    facts = page.locator(".uc-facts")
    expect(facts).to_contain_text("same choice in both orders")
    expect(facts).to_contain_text(f"{100 * found['consistency']:.1f} %")
    most = max(("base", "tie", "aligned"), key=lambda name: found["outcomes"]["overall"][name])
    page.locator(".uc-wins button", has_text=most).click()
    expect(page.locator(".uc-question")).to_have_count(found["outcomes"]["overall"][most])
    again = show(fragment=page.url[page.url.index("#") :])
    expect(again.locator(".uc-question")).to_have_count(found["outcomes"]["overall"][most])
    again.locator(".uc-chips button").first.click()
    expect(again.locator(".uc-question")).to_have_count(12)


def test_a_question_shows_scores_with_reasons_and_a_hostile_reason_is_text(show, folder: Path) -> None:
    page = show()
    page.locator(".uc-question").first.click()
    panels = page.locator(".uc-verdict")
    expect(panels).to_have_count(3)  # two rubrics and a guard
    item = group(folder, "six-aspects")["items"][0]
    row = panels.first.locator("tbody tr").first
    for cell, side in enumerate(("base", "aligned")):
        given = item["verdicts"][side]["helpfulness"]
        expect(row.locator("td").nth(cell)).to_contain_text(f"{given['score']} of 5")
        expect(row.locator("td").nth(cell)).to_contain_text(REASON)
    expect(panels.nth(1).locator("thead")).to_contain_text("base shown first")
    expect(panels.nth(2)).to_contain_text("unsafe, S2 non-violent crimes")
    expect(panels.nth(2)).to_contain_text("<b>guard</b>")
    assert page.evaluate("window.__pwned") is None
    assert page.locator(".uc img").count() == 0


def test_without_a_judgement_one_line_names_the_command(show, tmp_path: Path) -> None:
    made = write_lines(tmp_path / "bare", make_lines(6))
    assert main(["corpus", "--out", str(made)]) == 0
    page = show(made / "report.html")
    expect(page.locator(".uc-judge .uc-note")).to_have_count(1)
    expect(page.locator(".uc-judge code")).to_have_text("urial judge DIR --judge BASE_URL --model NAME")
    assert page.locator(".uc-judge svg").count() == 0
    with (made / "judgements.jsonl").open("w", encoding="utf-8") as file:
        file.write('{"schema": "urial.judgement/1", "key": "k"}\n')
    assert main(["corpus", "--out", str(made)]) == 0
    page = show(made / "report.html")
    expect(page.locator(".uc-judge .uc-note")).to_contain_text("run the judge again")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_runs_over(show, tmp_path: Path, width: int, scheme: str) -> None:
    page = show(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for fold in page.locator(".uc-judge details summary").all():
        fold.click()
    page.locator(".uc-judge").screenshot(path=tmp_path / f"judge-{width}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for what in (".uc-judge", ".uc-detail"):
        if what == ".uc-detail":
            page.locator(".uc-question").first.click()
            expect(page.locator(".uc-verdict")).to_have_count(3)
            page.locator(".uc-verdict").first.screenshot(path=tmp_path / f"question-{width}-{scheme}.png")
        found = Axe().run(page, context=what).response
        assert found["passes"], "axe looked at nothing"
        bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in bad] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def demo(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ui_server.Live]:
    gallery = ui_server.write_gallery(tmp_path_factory.mktemp("gallery"))
    with ui_server.live(ui_server.tiny_service(), gallery=gallery, corpus=folder) as found:
        yield found


def test_the_tab_shows_the_same(visit: Visit, folder: Path) -> None:  # noqa: F811
    page = visit("/")
    page.evaluate("document.querySelector('#tab-corpus-button').click()")
    mean = group(folder, "six-aspects")["sides"]["aligned"]["aspects"]["depth"]["mean"]
    expect(page.locator(".uc-judge .uc-value", has_text=f"{mean:.2f}").first).to_be_visible()
    page.locator(".uc-question").nth(1).click()
    expect(page.locator(".uc-verdict")).to_have_count(3)
