"""Which test files an `-m` expression leaves out as a whole, told from their text: such a file need not be imported.

Knows nothing about which marks there are.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import chain, combinations

from _pytest.mark.expression import Expression


def marks_of_all(source: str) -> frozenset[str]:
    """The names X of `pytest.mark.X` in a file's `pytestmark`: marks of all its tests."""
    if "pytestmark" not in source:
        return frozenset()
    values = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign) and _names_marks(node)]
    inside = chain.from_iterable(ast.walk(value) for value in values)
    return frozenset(each.attr for each in inside if isinstance(each, ast.Attribute) and _is_mark(each.value))


def _names_marks(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)


def _is_mark(node: ast.expr) -> bool:
    return ast.unparse(node) == "pytest.mark"


def can_match(expression: str, marks: frozenset[str]) -> bool:
    """Whether a test that has `marks`, and any others, may be what `-m expression` asks for.

    Raises SyntaxError where it is no expression.
    """
    asked = Expression.compile(expression)
    others = sorted(set(re.findall(r"\w+", expression)) - marks - {"and", "or", "not"})
    sets = chain.from_iterable(combinations(others, size) for size in range(len(others) + 1))
    return any(asked.evaluate(_Among(marks.union(more))) for more in sets)


@dataclass(frozen=True, slots=True)
class _Among:
    """A test's marks, in the way that an expression asks for them."""

    marks: frozenset[str]

    def __call__(self, name: str, /, **_: object) -> bool:
        return name in self.marks
