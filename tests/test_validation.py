"""What is wrong with a value, in one form for every closed format."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from urial.errors import RecordError
from urial.validation import Wrong, first_wrong, parse


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int

    @field_validator("size")
    @classmethod
    def _even(cls, size: int) -> int:
        if size % 2:
            raise ValueError("odd")
        return size


class Outer(BaseModel):
    parts: list[Inner]


def wrong_in(data: object) -> Wrong:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    return first_wrong(caught.value)


def test_a_wrong_value_is_named_by_its_keys_from_the_top() -> None:
    wrong = wrong_in({"parts": [{"size": 2}, {"size": "x"}]})
    assert wrong.path == ("parts", 1, "size") and wrong.key == "parts.1.size" and wrong.found == "x"


def test_an_unknown_key_comes_before_a_missing_one() -> None:
    wrong = wrong_in({"parts": [{"siez": 2}]})
    assert (wrong.key, wrong.kind) == ("parts.0.siez", "extra_forbidden")


def test_what_a_validator_raised_is_its_cause() -> None:
    assert str(wrong_in({"parts": [{"size": 3}]}).cause) == "odd"


def test_the_whole_value_has_an_empty_key() -> None:
    assert wrong_in(3).key == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "no JSON object with the key"),
        ('{"schema": "a"}', 'key "parts"'),
    ],
)
def test_a_document_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(RecordError, match=r"^file") as caught:
        parse(text, Outer, "a", "file")
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "NaN", "3", '"x"'])
def test_json_that_is_no_object_is_named_as_that(text: str) -> None:
    with pytest.raises(RecordError, match=r'^a file holds no JSON object with the key "schema": "x/1"\.$'):
        parse(text, Outer, "x/1", "a file")
