"""Retrieval ICL: the examples of a pool that are most like the query, found by BM25, the most similar last.

The search is lexical, so that a page can say which words matched. Left out are texts that are nearly the query itself:
they would hand the base its answer.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from urial.errors import PromptError
from urial.prompts.files import read_text
from urial.records import Retrieved
from urial.validation import json_value, kind_of

OWN_POOL = Path(__file__).parents[1] / "sibling" / "examples.jsonl"  # what the embedded sibling was tuned on
POOL_LIMIT = 200_000_000  # bytes
SHOWN = 3  # examples in a prompt
K1, B = 1.5, 0.75  # BM25's usual parameters
SAME = 0.9  # Jaccard similarity of words from which on two queries count as one
ANSWER_KEYS = ("answer", "output", "response", "completion")
QUERY_KEYS = ("query", "instruction", "question", "prompt", "input")


@dataclass(frozen=True, slots=True)
class PoolExample:
    id: str
    query: str
    answer: str


@dataclass(frozen=True)
class Pool:
    """Examples to choose from. `find` gives at most K of them, the most similar last; it is the same each time."""

    examples: tuple[PoolExample, ...] = field(compare=False)
    fingerprint: str

    def find(self, query: str, count: int = SHOWN) -> list[tuple[PoolExample, Retrieved]]:
        """Examples that share a word with the query, the most similar last; fewer than `count` where fewer do."""
        own = content_words(query)
        shared = sorted(own & self._known)
        if not shared:
            return []
        scores = self._index.get_scores(shared)
        order = sorted(range(len(self.examples)), key=lambda place: (-scores[place], place))
        found: list[tuple[PoolExample, Retrieved]] = []
        for place in order:
            if len(found) == count or scores[place] <= 0:
                break
            example = self.examples[place]
            if not same_query(query, example.query):
                matched = sorted(own & content_words(example.query))
                score = round(float(scores[place]), 4)
                found.append((example, Retrieved(id=example.id, query=example.query, score=score, matched=matched)))
        return found[::-1]

    @cached_property
    def _words(self) -> list[list[str]]:
        return [tokens(example.query) for example in self.examples]

    @cached_property
    def _known(self) -> set[str]:
        return {word for words in self._words for word in words}

    @cached_property
    def _index(self) -> Any:
        import bm25s  # here: it takes a moment, and other methods never need it

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # its own level is DEBUG, for all to read
        index = bm25s.BM25(k1=K1, b=B, backend="numpy")
        index.index([words or [""] for words in self._words], show_progress=False)
        return index


def tokens(text: str) -> list[str]:
    """Words in lower case, English stop words left out; what is compared."""
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return [word for word in re.findall(r"\w+", text.casefold()) if word not in STOPWORDS_EN_PLUS]


def content_words(text: str) -> set[str]:
    return set(tokens(text))


def same_query(first: str, second: str) -> bool:
    """Whether two queries are one but for punctuation, case and at most a word in ten."""
    one, other = (re.findall(r"\w+", text.casefold()) for text in (first, second))
    if one == other:
        return True
    union = set(one) | set(other)
    return bool(union) and len(set(one) & set(other)) / len(union) >= SAME


def own_pool() -> Pool:
    """The examples that the embedded sibling was tuned on: the same texts, shown instead of trained on."""
    return load_pool(OWN_POOL)


def load_pool(path: str | Path) -> Pool:
    """A pool from a JSONL file: `query` (or `instruction`) and `answer` (or `output`), or `messages`, on each line.

    Raises PromptError that names the first wrong line.
    """
    stat = _stat(path)
    return _load(str(path), stat)


def _stat(path: str | Path) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as error:
        raise PromptError(f"Pool file {str(path)!r} cannot be read ({error}); name a JSONL file.") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _load(path: str, _: tuple[int, int]) -> Pool:
    source = f"Pool file {path!r}"
    text = read_text(path, source, POOL_LIMIT)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    examples = tuple(_example(line, f"{source}, line {number}", number) for number, line in lines)
    return Pool(examples, hashlib.sha256(text.encode()).hexdigest())


def _example(line: str, source: str, number: int) -> PoolExample:
    data = json_value(line, source, "write one object a line", PromptError)
    if not isinstance(data, dict):
        raise PromptError(f'{source} is {kind_of(data)} and no object; write {{"query": "...", "answer": "..."}}.')
    query, answer = _of_messages(data.get("messages")) or (_first(data, QUERY_KEYS), _first(data, ANSWER_KEYS))
    if not query or not answer:
        raise PromptError(f'{source} has no query with an answer; write {{"query": "...", "answer": "..."}}.')
    return PoolExample(str(data.get("id", number)), query, answer)


def _of_messages(messages: object) -> tuple[str, str] | None:
    """The first turn of a conversation."""
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        return None
    texts = {role: one.get("content") for one in reversed(messages) if (role := one.get("role"))}
    query, answer = texts.get("user"), texts.get("assistant")
    return (query, answer) if isinstance(query, str) and isinstance(answer, str) else None


def _first(data: dict[str, object], keys: Sequence[str]) -> str:
    return next((value for key in keys if isinstance(value := data.get(key), str) and value.strip()), "")
