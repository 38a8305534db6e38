"""`models.yaml` from the disk to typed pairs. Each thing wrong with it is one PairsError, in one line.

Folders in the file are relative to the file, or, where nothing is there, to the folder that holds this package (so
that a copied models.yaml still finds the embedded adapter); here they become absolute.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from urial.errors import PairsError
from urial.pairs.messages import explain, key_path, meant
from urial.pairs.schema import Document, GuardSpec, Pair

NAME = "models.yaml"
PACKAGE = Path(__file__).resolve().parents[1]
HOME = PACKAGE.parent  # the project's folder in a checkout, site-packages once installed
FILE_KEYS = {"folder", "gguf", "chat_template"}


@dataclass(frozen=True, slots=True)
class PairsFile:
    """The pairs of one file, by name, in the file's order."""

    source: str
    default: str
    pairs: dict[str, Pair]
    guard: GuardSpec | None = None

    def get(self, name: str) -> Pair:
        """The pair of that name. Raises PairsError that names the known ones."""
        if name not in self.pairs:
            raise PairsError(f"There is no pair {name!r} in {self.source}{meant(name, self.pairs)}.")
        return self.pairs[name]


def load_pairs(path: str | Path | None = None) -> PairsFile:
    """Read and check the file; None takes `default_file()`. Raises PairsError."""
    file = Path(path) if path is not None else default_file()
    source = str(path) if path is not None else file.name
    document = _document(_parse(_read(file, source), source), source)
    folder = HOME if file.parent == PACKAGE else file.absolute().parent
    return _checked(document, source, folder)


def default_file() -> Path:
    """models.yaml of the working folder, else of the project's folder, else the one inside the installed package."""
    return next((file for file in (Path.cwd() / NAME, HOME / NAME) if file.is_file()), PACKAGE / NAME)


def _read(file: Path, source: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise PairsError(
            f"{source} cannot be read ({error.strerror}); name a pairs file such as models.yaml."
        ) from error
    except UnicodeDecodeError as error:
        raise PairsError(f"{source} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


class StrictLoader(yaml.SafeLoader):
    """YAML without what would hide a mistake or blow up: no repeated keys, no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(problem="aliases are not allowed, write it out", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f'key "{key.value}" appears twice', problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else "the end"
        raise PairsError(f"{source}: {line}: {one_line(error.problem or error.context)}; correct it there.") from error
    except yaml.YAMLError as error:
        raise PairsError(f"{source} is not YAML: {one_line(error)}.") from error
    except (RecursionError, ValueError) as error:
        raise PairsError(f"{source} is not YAML that can be read ({one_line(error)}); correct it.") from error


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def _document(data: Any, source: str) -> Document:
    if not isinstance(data, dict):
        raise PairsError(f"{source}: the file must be a mapping with the keys default and pairs.")
    empty = _empty_key(data, ())
    if empty is not None:
        raise PairsError(f"{source}: {key_path(empty)} is empty; give it a value or leave it out.")
    try:
        return Document.model_validate(data)
    except ValidationError as error:
        raise PairsError(f"{source}: {one_line(explain(error))}") from error


def _empty_key(value: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    """Where the first null stands: a key without a value is a slip, not a wish for the default."""
    if value is None:
        return path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for step, inner in steps if (found := _empty_key(inner, (*path, step))) is not None), None)


def _checked(document: Document, source: str, folder: Path) -> PairsFile:
    pairs: dict[str, Pair] = {}
    for index, pair in enumerate(document.pairs):
        if pair.name in pairs:
            first = [other.name for other in document.pairs].index(pair.name)
            raise PairsError(
                f"{source}: pairs[{index}].name is {pair.name!r}, as is pairs[{first}].name; names must differ."
            )
        pairs[pair.name] = _absolute(pair, folder).placed(f"{source}: pairs[{index}].")
    if document.default not in pairs:
        raise PairsError(
            f"{source}: default is {document.default!r}, which is no pair{meant(document.default, pairs)}."
        )
    return PairsFile(source, document.default, pairs, document.guard)


def _absolute(part: BaseModel, folder: Path) -> Any:
    """The same part with every file and folder in it absolute."""
    changed: dict[str, Any] = {}
    for key in type(part).model_fields:
        value = getattr(part, key)
        if isinstance(value, BaseModel):
            changed[key] = _absolute(value, folder)
        elif key in FILE_KEYS and value is not None:
            changed[key] = str(_found(folder, Path(value).expanduser()))
    return part.model_copy(update=changed)


def _found(folder: Path, path: Path) -> Path:
    """The absolute path; what is not beside the pairs file may lie beside this package."""
    here, packaged = (folder / path).resolve(), (HOME / path).resolve()
    return packaged if packaged.exists() and not here.exists() else here
