"""The types of what the named endpoints give, in the form that Gradio reads: typed dictionaries.

Those of the record are made from `records.py`, so that the two cannot differ.
"""

from __future__ import annotations

import types
from typing import Any, Literal, TypedDict, Union, get_args, get_origin

from pydantic import BaseModel

from urial.records import Comparison, Message
from urial.ui.model_pool import State

MethodName = Literal["urial", "urial_no_refusal", "vanilla_icl", "retrieval_icl", "icil", "zero_shot"]


def json_type(model: type[BaseModel]) -> Any:
    """A model's JSON as a TypedDict, by alias; keys that are there only sometimes are left out."""
    always = {name: field for name, field in model.model_fields.items() if field.exclude_if is None}
    keys = {field.alias or name: _plain(field.annotation) for name, field in always.items()}
    return TypedDict(model.__name__, keys)  # type: ignore[operator]  # made while it runs


def _plain(annotation: Any) -> Any:
    """A field's type with every model in it as a TypedDict and every key as text."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return json_type(annotation)
    if origin is list:
        return list.__class_getitem__(_plain(inner[0]))
    if origin is dict:
        return dict.__class_getitem__((str, _plain(inner[1])))
    if origin in (Union, types.UnionType):
        return Union[tuple(_plain(each) for each in inner)]  # noqa: UP007  (made at run time)
    return annotation


ComparisonJson = json_type(Comparison)
MessageJson = json_type(Message)


class PairJson(TypedDict):
    """One pair of the list; `message` says more of its state, such as why it cannot run here."""

    name: str
    title: str
    licence: str
    note: str
    state: State
    message: str
