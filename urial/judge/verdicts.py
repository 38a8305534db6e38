"""What a verdict must look like: the JSON schema that a server is asked for, and the check of what came back.

A schema asks for whole numbers from 1 to 5 or null; the check also takes "4", "N/A" and keys in other letters,
since not every server keeps to a schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from urial.judge.replies import Unparsed, is_not_applicable, last_object, plain, shown, whole_score
from urial.validation import Wrong, first_wrong

CHOSEN = 3  # skills a question
FIRST, SECOND, TIE = "A", "B", "tie"
TIES = {"tie", "same", "equal", "draw", "both", "neither", "no_difference", "a_tie"}


def _score(value: object) -> int | None:
    return None if is_not_applicable(value) else whole_score(value)


def _label(value: object) -> str:
    word = plain(str(value).strip(" \"'[]().")).removeprefix("answer_")
    if word in ("a", "b"):
        return word.upper()
    if word in TIES:
        return TIE
    raise Unparsed(f'A choice is {shown(value)}; it must be "A", "B" or "tie".')


class _Lenient(BaseModel):
    """Keys in any letters; keys that nobody asked for are dropped when read, and forbidden in the schema."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _plain_keys(cls, data: Any) -> Any:
        return {plain(str(key)): value for key, value in data.items()} if isinstance(data, dict) else data


class Scored(_Lenient):
    """A reason, then a score from 1 to 5 or None (does not apply)."""

    reason: str = Field("", json_schema_extra={"default": None})
    score: Annotated[int | None, Field(ge=1, le=5), BeforeValidator(_score)]


class Preferred(_Lenient):
    """A reason, then which of two answers is better."""

    reason: str = Field("", json_schema_extra={"default": None})
    better: Annotated[Literal["A", "B", "tie"], BeforeValidator(_label)]


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of one reply."""

    model: type[BaseModel]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema, all keys required."""
        return _all_required(self.model.model_json_schema())

    def read(self, reply: str) -> dict[str, Any]:
        """The verdicts in a reply, by aspect. Raises Unparsed with the first thing that is wrong."""
        try:
            return self.model.model_validate(last_object(reply)).model_dump()
        except ValidationError as error:
            raise Unparsed(_sentence(first_wrong(error))) from error


def _sentence(wrong: Wrong) -> str:
    if wrong.kind == "missing":
        return f'The key "{wrong.key}" is missing.'
    return f'At "{wrong.key}": {wrong.cause or wrong.message}'


def _all_required(node: Any) -> Any:
    """Strict servers want every key required and no defaults."""
    if isinstance(node, list):
        return [_all_required(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {key: _all_required(value) for key, value in node.items() if key not in ("default", "title")}
    if isinstance(node.get("properties"), dict):
        found["properties"] = {key: _all_required(value) for key, value in node["properties"].items()}
        found["required"] = list(node["properties"])
    return found


def _scored(value: Any) -> Any:
    """A bare score stands for a score without a reason."""
    return value if isinstance(value, dict) else {"score": value}


def _preferred(value: Any) -> Any:
    return value if isinstance(value, dict) else {"better": value}


def _required(kind: Any, names: list[str]) -> dict[str, Any]:
    return dict.fromkeys(names, (kind, ...))


def scores(aspects: list[str]) -> Shape:
    """A score for each aspect: `{"clarity": {"reason", "score"}}`."""
    kind = Annotated[Scored, BeforeValidator(_scored)]
    return Shape(create_model("Scores", __base__=_Lenient, **_required(kind, aspects)))


def preferences(aspects: list[str]) -> Shape:
    """A choice between A and B for each aspect: `{"clarity": {"reason", "better"}}`."""
    kind = Annotated[Preferred, BeforeValidator(_preferred)]
    return Shape(create_model("Preferences", __base__=_Lenient, **_required(kind, aspects)))


def chosen(names: list[str]) -> Shape:
    """Three different names of a list: `{"reason", "skills": [...]}`."""

    def read(value: Any) -> list[str]:
        words = [plain(str(word)) for word in value] if isinstance(value, list) else []
        found = list(dict.fromkeys(word for word in words if word in names))
        if len(found) < CHOSEN:
            raise Unparsed(f"{shown(value)} does not name {CHOSEN} different skills of the list.")
        return found[:CHOSEN]

    word: Any = Literal.__getitem__(tuple(names))  # a type that is made while it runs
    limits = Field(min_length=CHOSEN, max_length=CHOSEN)
    kind: Any = Annotated[list[word], limits, BeforeValidator(read)]
    return Shape(create_model("Chosen", __base__=_Lenient, reason=(str, ""), skills=(kind, ...)))
