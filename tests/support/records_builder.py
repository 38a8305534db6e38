"""Comparisons for tests, valid through `urial.records`, made of given token texts; numbers are seeded, not real.

Knows the record; knows nothing about pages.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from urial.records import (
    Comparison,
    ContextName,
    ContextShift,
    Message,
    PairInfo,
    Settings,
    Side,
    SidePenalties,
    TokenShift,
    UnscoredReason,
)
from urial.shares import classify, summarize

PLAIN = ["Hello", "!", " Here", " are", " three", " tips", ":", "\n\n", "1", ".", " Eat", " a", " healthy", " diet"]
UNICODE = [
    " Grüße",
    "，",
    "你好",
    "世界",
    " 👩‍👩‍👧",
    "",
    " é",
    " مرحبا",
    " بالعالم",
    "\t",
    "  ",
    " שלום",
    " naïve",
    "𝒳",
    "\r\n",
]

# What would act if a page took text for markup, for a template, for a terminal or for layout.
HOSTILE = [
    "<script>window.__pwned=1</script>",
    "<img src=x onerror=window.__pwned=1>",
    "<svg onload=window.__pwned=1>",
    "</script><script>window.__pwned=1</script>",
    "</textarea><img src=x onerror=window.__pwned=1>",
    "<!--<script>window.__pwned=1//-->",
    "<iframe srcdoc='<script>parent.__pwned=1</script>'></iframe>",
    "<a href=javascript:window.__pwned=1 autofocus onfocus=window.__pwned=1>x</a>",
    '" onmouseover="window.__pwned=1" x="',
    "' autofocus onfocus='window.__pwned=1",
    "<details open ontoggle=window.__pwned=1>",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content=0;url=https://example.invalid>",
    "<base href=https://example.invalid/>",
    "${window.__pwned=1}",
    "`${window.__pwned=1}`",
    "{{constructor.constructor('window.__pwned=1')()}}",
    "{{data}}{{script}}",
    "<%= window.__pwned=1 %>",
    "&lt;script&gt;window.__pwned=1&lt;/script&gt;",
    "&#60;script&#62;window.__pwned=1",
    "javascript:window.__pwned=1",
    "\u202egnp.exe\u202c and \u2066isolated\u2069",
    "\x1b[31mred\x1b[0m\x07\x00\x08",
    "a\u2028b\u2029c\u0085d\ufeffe\u200bf",
    "\U000e0048\U000e0049 tags",
    "😀" * 10_000,
    "̖̗̘̙̜̝̞̟" * 200 + "zalgo",
    '=HYPERLINK("https://example.invalid")',
    "__proto__",
    "]]></script><script>window.__pwned=1</script>",
    "\\u003cscript\\u003ewindow.__pwned=1",
]


def build(
    texts: list[str] = PLAIN,
    *,
    query: str = "Give me three tips for staying healthy.",
    history: list[Message] | None = None,
    contexts: tuple[ContextName, ...] = ("zero_shot", "urial"),
    alternatives: list[str] | None = None,
    with_end: bool = True,
    exact: bool = True,
    seed: int = 0,
    method: str = "urial",
) -> Comparison:
    """A comparison whose aligned answer is `texts`; `alternatives` fill the top lists (default: numbered words)."""
    rng = random.Random(seed)
    vocabulary = alternatives or [f" word{i}" for i in range(6000)]
    shift = {name: _context(name, texts, vocabulary, with_end, exact, rng) for name in contexts}
    text = "".join(texts)
    ids = [1000 + i for i in range(len(texts))] + ([1] if with_end else [])
    return Comparison(
        query=query,
        history=history or [],
        pair=_pair(),
        settings=_settings(method),
        base=_side("# Query:\n```\n" + query + "\n```\n", "Hi! Here is what I would do.", list(range(8))),
        aligned=_side("<start_of_turn>user\n" + query, text, ids),
        shift=shift,
    )


def unscore(
    comparison: Comparison,
    reasons: Mapping[int, UnscoredReason],
    contexts: tuple[ContextName, ...] = ("zero_shot", "urial"),
) -> Comparison:
    """The same with these positions not scored: what the aligned model told of them stays, except where it broke."""
    shift = {
        name: left_out(context, reasons) if name in contexts else context for name, context in comparison.shift.items()
    }
    return comparison.model_copy(update={"shift": shift})


def left_out(context: ContextShift, reasons: Mapping[int, UnscoredReason]) -> ContextShift:
    tokens = [without_numbers(row, reasons[row.position]) if row.position in reasons else row for row in context.tokens]
    return context.model_copy(update={"tokens": tokens, "summary": summarize(tokens)})


def without_numbers(row: TokenShift, reason: UnscoredReason) -> TokenShift:
    told = row.model_dump(by_alias=True)
    of_base = dict.fromkeys(("base_rank", "base_probability", "kl", "js", "switch_point"))
    of_aligned = dict.fromkeys(("aligned_rank", "aligned_probability")) | {"aligned_top": []}
    kept = {} if reason == "not_in_base_vocabulary" else of_aligned
    return TokenShift(**{**told, **of_base, **kept, "base_top": [], "class": "unscored", "reason": reason})


def _pair() -> PairInfo:
    return PairInfo(
        name="gemma-3-270m",
        base="google/gemma-3-270m",
        aligned="the sibling of this project",
        dtype="float32",
        quantization=None,
        device="cpu",
        revisions={"base": "0123abc", "aligned": None},
    )


def _settings(method: str) -> Settings:
    return Settings(
        method=method,
        examples=3,
        temperature=0.0,
        top_p=1.0,
        repetition_penalty=SidePenalties(base=1.1, aligned=1.0),
        max_new_tokens=256,
        seed=7,
    )


def _side(prompt: str, text: str, token_ids: list[int]) -> Side:
    return Side(
        prompt=prompt,
        prompt_ids=list(range(len(prompt) // 4 + 1)),
        text=text,
        token_ids=token_ids,
        stop_reason="stop",
        seconds=9.3125,
        first_token_seconds=0.8125,
        tokens_per_second=12.5,
    )


def _context(
    name: ContextName, texts: list[str], vocabulary: list[str], with_end: bool, exact: bool, rng: random.Random
) -> ContextShift:
    rows = [_row(position, text, vocabulary, rng, name) for position, text in enumerate(texts)]
    rows = rows if exact else [row.model_copy(update={"switch_point": None}) for row in rows]
    if with_end:
        rows.append(_row(len(texts), "", vocabulary, rng, name, is_special=True))
    context = "# Query:\n" if name == "zero_shot" else "# Instruction\n# Query:\n"
    return ContextShift(
        context=context,
        context_ids=list(range(20 if name == "zero_shot" else 1000)),
        exact=exact,
        summary=summarize(rows),
        tokens=rows,
    )


def _row(
    position: int, text: str, vocabulary: list[str], rng: random.Random, name: ContextName, *, is_special: bool = False
) -> TokenShift:
    ranks = [1, 1, 1, 1, 2, 3, 5, 14, 1234] if name == "zero_shot" else [1, 1, 1, 1, 1, 2, 4]
    rank = 62 if position == 0 and name == "zero_shot" else rng.choice(ranks)
    token_id = 1 if is_special else 1000 + position
    base_top = _top(token_id, text, rank, vocabulary, rng)
    aligned_top = _top(token_id, text, 1, vocabulary, rng)
    return TokenShift.model_validate(
        {
            "position": position,
            "id": token_id,
            "text": text,
            "base_rank": rank,
            "class": classify(rank),
            "base_probability": base_top[rank - 1][2] if rank <= len(base_top) else rng.random() * base_top[-1][2],
            "aligned_probability": aligned_top[0][2],
            "aligned_rank": 1,
            "kl": math.log(rank) + rng.random(),
            "js": min(0.69, rng.random() * 0.2 + math.log(rank) / 20),
            "switch_point": math.log(rank) / (1.5 + math.log(rank)),
            "is_special": is_special,
            "base_top": base_top,
            "aligned_top": aligned_top,
        }
    )


def _top(
    token_id: int, text: str, rank: int, vocabulary: list[str], rng: random.Random
) -> list[tuple[int, str, float]]:
    """Ten entries, most probable first, the token itself at its rank where that is on the list."""
    probabilities = sorted((rng.random() ** 4 for _ in range(10)), reverse=True)
    total = sum(probabilities) / (0.5 + rng.random() / 2.2)
    names = rng.sample(range(len(vocabulary)), min(10, len(vocabulary)))
    entries = [(5000 + name, vocabulary[name], p / total) for name, p in zip(names, probabilities, strict=False)]
    if rank <= len(entries):
        entries[rank - 1] = (token_id, text, entries[rank - 1][2])
    return entries


def long_answer(tokens: int = 512) -> list[str]:
    """Texts of a long answer: words, punctuation, paragraphs."""
    words = [" remember", " However", ",", " health", "ier", " the", " of", ".", "\n\n", " 3", "-", " you"]
    return [words[(i * 7 + i // 5) % len(words)] for i in range(tokens)]
