"""Pages to keep: a student's own (their guesses, the reveals), and the class's for the teacher. One HTML file each.

No script, no request: the policy allows this style by its hash and nothing else. Every text is escaped where it goes
in.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from urial.workshop.kinds import Data, kind_of
from urial.workshop.tally import OUTCOMES
from urial.workshop.texts import say

PAPER = "https://arxiv.org/abs/2312.01552"
PAGES = Path(__file__).parent / "pages"


def student_page(language: str, facts: Data, items: Sequence[tuple[Data, Data | None]]) -> str:
    """A student's revealed items with what they answered; None where they did not."""
    return whole(language, facts, "kept.yours", (student_item(language, item, mine) for item, mine in items))


def class_page(language: str, facts: Data, items: Sequence[Data]) -> str:
    """The revealed items with what the class said, without names."""
    return whole(language, facts, "kept.class", (class_item(language, item) for item in items))


def policy() -> str:
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def style() -> str:
    """The class's style, without what belongs to buttons and phones."""
    return "\n".join((PAGES / name).read_text(encoding="utf-8") for name in ("class.css", "answers.css"))


def whole(language: str, facts: Data, heading: str, items: Iterable[str]) -> str:
    inner = "".join(items) or paragraph(say(language, "kept.empty"))
    title = facts["title"] or say(language, "kept.title")
    name = f"<p><bdi>{escape(facts['you'])}</bdi></p>" if facts["you"] else ""
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="content-security-policy" content="{escape(policy())}">'
        f"<title>{escape(title)}</title><style>{style()}</style></head><body><main>"
        f'<h1 dir="auto">{escape(title)}</h1>{paragraph(say(language, heading))}{name}{inner}'
        f"<h2>{escape(say(language, 'kept.links'))}</h2>{paragraph(say(language, 'kept.definitions'))}"
        f'<p><a href="{PAPER}">{escape(say(language, "kept.paper"))}</a></p></main></body></html>\n'
    )


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


# Items


def student_item(language: str, item: Data, mine: Data | None) -> str:
    reveal = item["reveal"]
    known = None if mine is None else kind_of(item["kind"]).own(item["material"], item["options"], mine)
    if known is None:
        own = paragraph(say(language, "kept.none"), "task")
    elif item["kind"] == "predict":
        own = legend(language, "hit", "missed", "wrong")
    elif item["kind"] == "dial":
        guess, off = f"{100 * known['guess']:.0f}%", points(known["error"])
        own = paragraph(say(language, "dial.yours", guess=guess, points=off), "task")
    else:
        given = known
        side = given["winner"] if given["winner"] in ("tie", "bad") else "ab"[given["a"] != given["winner"]]
        own = paragraph(say(language, f"yours.{given['winner']}", side=say(language, f"choice.{side}")), "task")
    if item["kind"] == "predict":
        tapped = set(mine["words"]) if mine else set()
        rows = [("guesser.you", known)] if known else []
        inner = guessed(language, reveal["words"], tapped) + own + figures(language, [*rows, *simple(reveal)])
    elif item["kind"] == "dial":
        inner = own + dial_reveal(language, reveal, known)
    else:
        inner = own + vote_reveal(language, reveal)
    return card(language, item, inner)


def class_item(language: str, item: Data) -> str:
    reveal = item["reveal"]
    if item["kind"] == "vote":
        return card(language, item, vote_reveal(language, reveal))
    if item["kind"] == "dial":
        return card(language, item, dial_reveal(language, reveal, None))
    told = paragraph(say(language, "kept.guesses", n=reveal["n"]), "quiet")
    inner = heat(language, reveal["words"], reveal["n"]) + legend(language, "heat heat4", "shifted") + told
    return card(language, item, inner + figures(language, simple(reveal)))


def card(language: str, item: Data, inner: str) -> str:
    number = say(language, "kept.question", number=item["number"] + 1)
    earlier = "".join(paragraph(turn["content"], "earlier") for turn in item["history"])
    context = item["reveal"]["context"]
    about = "dial.context" if item["kind"] == "dial" else "context"
    note = say(language, f"{about}.{context}") if context else ""
    if context and not item["reveal"]["exact"]:
        note += " " + say(language, "approximate")
    look = item["reveal"]["look_at"]
    look_at = f'<p class="look-at" lang="en">{escape(look)}</p>' if look else ""
    return (
        f'<section class="card question"><p class="quiet">{escape(number)}</p>{earlier}'
        f'<h2 dir="auto">{escape(item["query"])}</h2>{inner}{paragraph(note, "quiet")}{look_at}</section>'
    )


# Answers and figures


def answer(inner: str) -> str:
    return f'<div class="answer" dir="auto">{inner}</div>'


def mark(kind: str, text: str, rank: int | None, said: str = "") -> str:
    """A marked piece; its white space stays outside."""
    word = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    number = f"<sub>{rank}</sub>" if rank is not None else ""
    hidden = f'<span class="sr"> ({escape(said)})</span>' if said else ""
    return f'{escape(before)}<mark class="{kind}">{escape(word)}{number}{hidden}</mark>{escape(after)}'


def guessed(language: str, found: Sequence[Sequence[Any]], tapped: set[int]) -> str:
    pieces = []
    for number, (text, is_word, is_shifted, rank, _) in enumerate(found):
        if not is_word or not (is_shifted or number in tapped):
            pieces.append(escape(text))
            continue
        kind = ("hit" if number in tapped else "missed") if is_shifted else "wrong"
        pieces.append(mark(kind, text, rank if is_shifted else None, say(language, f"mark.{kind}")))
    return answer("".join(pieces))


def heat(language: str, found: Sequence[Sequence[Any]], n: int) -> str:
    pieces = []
    for text, is_word, is_shifted, rank, count in found:
        if not is_word or not (is_shifted or count):
            pieces.append(escape(text))
            continue
        grade = -(-5 * count // n) if n else 0
        said = say(language, "heat.says", n=count, of=n)
        pieces.append(mark(f"heat heat{grade}{' shifted' * is_shifted}", text, rank if is_shifted else None, said))
    return answer("".join(pieces))


def legend(language: str, *kinds: str) -> str:
    marks = (f'<mark class="{kind}">{escape(say(language, f"legend.{kind.split()[0]}"))}</mark> ' for kind in kinds)
    return f'<p class="legend">{"".join(marks)}</p>'


def simple(reveal: Data) -> list[tuple[str, Data]]:
    names = ("first_words", "opener")
    return [("guesser.class", reveal["class"]), *((f"guesser.{name}", reveal[name]) for name in names)]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def points(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def table(caption: str, head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return (
        f'<table class="figures"><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table>"
    )


def figures(language: str, rows: Iterable[tuple[str, Data]]) -> str:
    def cell(share: float | None, hits: int, every: int) -> str:
        return f"{percent(share)} ({say(language, 'table.of', hits=hits, all=every)})"

    lines = [
        (
            say(language, title),
            cell(score["precision"], score["hits"], score["tapped"]),
            cell(score["recall"], score["hits"], score["shifted"]),
        )
        for title, score in rows
    ]
    head = (say(language, f"table.{name}") for name in ("guesser", "precision", "recall"))
    return table(say(language, "table.caption"), head, lines)


def vote_reveal(language: str, reveal: Data) -> str:
    tally = reveal["tally"]
    lines = []
    for name in OUTCOMES:
        found = tally["outcomes"][name]
        low_high = found["interval"]
        interval = f"{percent(low_high[0])} – {percent(low_high[1])}" if low_high else "–"
        paper = percent(reveal["paper"].get(name))
        share = percent(found["share"])
        lines.append((say(language, f"outcome.{name}"), str(found["count"]), share, interval, paper))
    head = (say(language, f"tally.{name}") for name in ("outcome", "votes", "share", "interval", "paper"))
    shown = "".join(
        escape(text) if kind == "unshifted" else mark(kind, text, rank if kind == "shifted" else None)
        for text, kind, rank in reveal["tokens"]
    )
    names = [(f"name.{side}", f"{side}_name", side) for side in ("base", "aligned")]
    texts = {"base": escape(reveal["base"]), "aligned": shown or escape(reveal["aligned"])}
    sides = "".join(
        f"<section><h3>{escape(say(language, title))} <small>{escape(reveal[own])}</small></h3>{answer(texts[side])}"
        "</section>"
        for title, own, side in names
    )
    note = paragraph(say(language, "tally.paper_note"), "quiet")
    return table(say(language, "tally.caption", n=tally["n"]), head, lines) + note + f'<div class="pair">{sides}</div>'


def dial_reveal(language: str, reveal: Data, own: Data | None) -> str:
    word = reveal["words"][reveal["word"]][0].strip()
    key = "dial.truth" if reveal["needed"] > 0 else "dial.truth.none"
    truth = say(language, key, word=word, share=percent(reveal["needed"]))
    pieces = [
        mark("asked", text, reveal["rank"]) if number == reveal["word"] else escape(text)
        for number, (text, _) in enumerate(reveal["words"])
    ]
    rows = [
        *([("guesser.you", own["guess"], own["error"])] if own else []),
        ("guesser.each", reveal["mean_guess"], reveal["mean_error"]),
        ("guesser.middle", 0.5, reveal["middle_error"]),
    ]
    head = (say(language, name) for name in ("table.guesser", "dial.guess", "dial.error"))
    lines = [(say(language, who), percent(guess), points(off)) for who, guess, off in rows]
    errors = table(say(language, "dial.errors"), head, lines)
    told = f'<p class="dial-truth" dir="auto">{escape(truth)}</p>'
    return told + answer("".join(pieces)) + bins(language, reveal) + errors


def bins(language: str, reveal: Data) -> str:
    """The guesses as a table; its bars are meters, since the policy allows no style but the page's own."""
    most, lines = max(1, *reveal["bins"]), []
    for number, count in enumerate(reveal["bins"]):
        name = say(language, "dial.bin.upto", share=f"{10 * number}%") if number else say(language, "dial.bin.none")
        is_true = number == reveal["needed_bin"]
        here = f" ({say(language, 'dial.here')})" if is_true else ""
        lines.append(
            f'<tr{" class=true-bin" * is_true}><th scope="row">{escape(name + here)}</th>'
            f'<td>{count} <meter aria-hidden="true" max="{most}" value="{count}"></meter></td></tr>'
        )
    head = "".join(f'<th scope="col">{escape(say(language, name))}</th>' for name in ("dial.guess", "dial.students"))
    caption = escape(say(language, "dial.histogram", n=reveal["n"]))
    return (
        f'<table class="figures histogram"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
