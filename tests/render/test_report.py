"""The report and the view's data, without a browser: nothing is lost, nothing acts, colours can be told apart."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
import shlex
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.records_builder import HOSTILE, PLAIN, UNICODE, build, long_answer
from urial.cli.commands import make_request
from urial.cli.main import make_parser
from urial.prompts import METHODS
from urial.records import Comparison, Message, SideSettings, TokenShift, from_json, to_json
from urial.render import csv_table, report, view
from urial.render.command_line import command, quote
from urial.ui import page as ui_page

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SHELL_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def decode(rows: view.Payload) -> list[dict]:
    """What the page's store makes of the columns, written again here from the docstring of rows_payload."""
    table, special = rows["table"], set(rows["special"])
    return [
        {
            "position": rows["start"] + i,
            "id": table[entry][0],
            "text": table[entry][1],
            "class": rows["class"][i],
            "special": rows["start"] + i in special,
            "base_rank": rows["base_rank"][i],
            "base_top": [(*table[e], p) for e, p in zip(rows["base_top"][i], rows["base_top_p"][i], strict=True)],
        }
        for i, entry in enumerate(rows["token"])
    ]


def expected(row: TokenShift) -> dict:
    return {
        "position": row.position,
        "id": row.id,
        "text": row.text,
        "class": row.shift_class[0],
        "special": row.is_special,
        "base_rank": row.base_rank,
        "base_top": [(token_id, text, round(p, 5)) for token_id, text, p in row.base_top],
    }


# --- the view's data ----------------------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=1, max_size=12), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_columns_hold_every_row(texts: list[str], start: int) -> None:
    rows = build(texts).shift["zero_shot"].tokens
    part = rows[min(start, len(rows) - 1) :]  # a streamed chunk starts anywhere
    assert decode(view.rows_payload(part)) == [expected(row) for row in part]


def test_numbers_are_rounded_to_what_the_docstring_says() -> None:
    comparison = build()
    rows = view.payload(comparison)["shift"]["urial"]["rows"]
    for i, row in enumerate(comparison.shift["urial"].tokens):
        assert abs(rows["base_p"][i] - row.base_probability) <= 0.5e-5
        assert abs(rows["kl"][i] - row.kl) <= 0.5e-4


def test_the_mass_that_bounds_do_not_cover_is_sent_where_there_are_bounds() -> None:
    rows = build().shift["zero_shot"].tokens
    assert "uncovered" not in view.rows_payload(rows)
    bounded = [row.model_copy(update={"uncovered": 0.02}) for row in rows]
    assert view.rows_payload(bounded)["uncovered"] == [0.02] * len(rows)


def test_payload_of_a_long_answer_is_under_one_and_a_half_megabytes() -> None:
    comparison = build(long_answer(512))
    assert len(report.embed_json(view.payload(comparison)).encode()) < 1_500_000
    assert len(report.comparison_page(comparison).encode()) < 1_500_000


def test_empty_rows_and_no_shift_are_payloads_too() -> None:
    assert view.rows_payload([])["token"] == []
    assert view.payload(build(contexts=()))["shift"] == {}


@given(st.recursive(TEXT | st.integers() | st.none(), lambda item: st.lists(item) | st.dictionaries(TEXT, item)))
@settings(deadline=None)
def test_embedded_json_has_no_character_that_markup_or_script_could_read(value: object) -> None:
    text = report.embed_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


# --- the report ---------------------------------------------------------------------------------------------------


class Skeleton(HTMLParser):
    """Tags with attribute names, and the text of scripts and styles, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""
        if tag in self.blocks:
            self.blocks[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in self.blocks:
            self.blocks[self.cdata_elem][-1] += data


def skeleton(page: str) -> Skeleton:
    parser = Skeleton()
    parser.feed(page)
    parser.close()
    return parser


def hostile(text: str) -> Comparison:
    history = [Message(role="user", content=text), Message(role="assistant", content=text)]
    return build([text, " ok", text], query=text, history=history, alternatives=[text, "b", "c"])


@pytest.mark.parametrize("text", HOSTILE + UNICODE, ids=range(len(HOSTILE + UNICODE)))
def test_text_never_changes_the_pages_structure(text: str) -> None:
    plain, attacked = (skeleton(report.comparison_page(comparison)) for comparison in (hostile("plain"), hostile(text)))
    assert attacked.tags == plain.tags
    assert attacked.blocks["script"][1:] == plain.blocks["script"][1:]
    assert json.loads(attacked.blocks["script"][0])["query"] == text


@given(TEXT)
@settings(max_examples=40, deadline=None)
def test_any_text_leaves_the_pages_structure(text: str) -> None:
    assert (
        skeleton(report.comparison_page(hostile(text))).tags == skeleton(report.comparison_page(hostile("plain"))).tags
    )


def test_policy_allows_exactly_the_reports_own_script_and_style() -> None:
    page = skeleton(report.comparison_page(build()))

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == digest(page.blocks["script"][1])
    assert directives["style-src"] == digest(page.blocks["style"][0])


def test_report_says_whose_sibling_it_is() -> None:
    note = "The sibling is ours."
    data = json.loads(skeleton(report.comparison_page(build(), note=note)).blocks["script"][0])
    assert data["note"] == note


def test_a_saved_record_gives_the_same_report() -> None:
    comparison = build(PLAIN + UNICODE)
    assert report.comparison_page(from_json(to_json(comparison))) == report.comparison_page(comparison)


# --- the assets ---------------------------------------------------------------------------------------------------


def test_every_asset_is_joined_and_short() -> None:
    for folder, names in (("js", report.SCRIPTS), ("css", report.STYLES)):
        files = {path.stem: path for path in (report.ASSETS / folder).iterdir()}
        assert set(files) == set(names)
        assert all(len(path.read_text().splitlines()) < 300 for path in files.values())


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (report.ASSETS / "js", report.SCRIPTS),
        (report.ASSETS / "corpus", report.CORPUS_SCRIPTS),
        (ui_page.ASSETS, ui_page.SCRIPTS),
    ],
    ids=["view", "corpus", "page"],
)
def test_files_that_share_a_scope_share_no_name(folder: Path, names: tuple[str, ...]) -> None:
    """A name twice is a syntax error that leaves the page without any script, or silently the wrong function."""
    declared = re.compile(r"^(?:async )?(?:function\*?|const|let|class) +(\w+)", re.MULTILINE)
    found = Counter(word for name in names for word in declared.findall((folder / f"{name}.js").read_text("utf-8")))
    assert [word for word, times in found.items() if times > 1] == []


def test_script_never_makes_markup_or_code_of_text() -> None:
    source = report.script()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert way not in source
    assert "</script" not in source.lower()


def test_assets_name_no_network_address() -> None:
    found = set(re.findall(r"https?://[^\s\"')]+", report.script() + report.style() + report.comparison_page(build())))
    assert found == {"http://www.w3.org/2000/svg"}


def test_every_style_rule_is_scoped() -> None:
    source = re.sub(r"/\*.*?\*/", "", report.style(), flags=re.DOTALL)
    selectors = re.findall(r"([^{}]+)\{", source)
    for selector in (part.strip() for group in selectors for part in group.split(",") if part.strip()):
        if not selector.startswith("@") and not selector.startswith("max-width"):
            assert ".urial-view" in selector, selector


# --- colours ------------------------------------------------------------------------------------------------------

Colour = tuple[float, float, float]  # linear RGB, 0..1


def palette(dark: bool) -> dict[str, Colour]:
    source = (report.ASSETS / "css/palette.css").read_text()
    pairs = re.findall(r"--uv-([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", source)
    return {name: linear(second if dark else first) for name, first, second in pairs}


def linear(code: str) -> Colour:
    parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return red, green, blue


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2 contrast ratio."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


TEXT_PAIRS = [
    *((f"{name}-ink", name) for name in ("m", "s", "n", "l1", "l2", "l3", "l4", "n1")),
    *((ink, paper) for ink in ("ink", "soft") for paper in ("card", "page", "accent-soft")),
    ("problem", "card"),
    ("on-accent", "accent"),
]
SIGNS = ("m-line", "s-line", "n-line", "n1-line", "accent", "base-bar", "aligned-bar", "edge")
SIGN_PAIRS = [(name, "card") for name in SIGNS]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_contrast_is_at_least_four_and_a_half(dark: bool) -> None:
    colours = palette(dark)
    for ink, paper in TEXT_PAIRS:
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_signs_contrast_is_at_least_three(dark: bool) -> None:
    colours = palette(dark)
    for sign, paper in SIGN_PAIRS:
        assert contrast(colours[sign], colours[paper]) >= 3, (sign, paper)


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def seen(colour: Colour, kind: str) -> Colour:
    red, green, blue = (
        min(1.0, max(0.0, sum(k * c for k, c in zip(row, colour, strict=True)))) for row in BLINDNESS[kind]
    )
    return red, green, blue


def lab(colour: Colour) -> Colour:
    """CIE L*a*b*, D65."""
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.95047, 1.0, 1.08883)
    xyz = [sum(k * c for k, c in zip(row, colour, strict=True)) / w for row, w in zip(matrix, white, strict=True)]
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_class_colours_survive_colour_blindness(dark: bool, kind: str) -> None:
    colours = palette(dark)
    for group in (("card", "m", "s"), ("card", "m-line", "s-line")):
        for i, one in enumerate(group):
            for other in group[i + 1 :]:
                apart = math.dist(lab(seen(colours[one], kind)), lab(seen(colours[other], kind)))
                assert apart > 9, (one, other, apart)  # 2.3 is just noticeable


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_rank_and_kl_colours_are_one_ramp_of_lightness(dark: bool) -> None:
    colours = palette(dark)
    ramp = [luminance(colours[name]) for name in ("card", "l1", "l2", "l3", "l4")]
    assert ramp == sorted(ramp, reverse=not dark)


# --- the table as CSV ---------------------------------------------------------------------------------------------


@given(
    st.lists(TEXT | st.sampled_from(["=1+1", "+1", "-1", "@x", "\t=1", " =1", "＝1", "\r=1"]), min_size=1, max_size=8)
)
@settings(max_examples=60, deadline=None)
def test_csv_gives_every_text_back_and_starts_no_formula(texts: list[str]) -> None:
    comparison = build(texts, contexts=("zero_shot",))
    rows = list(csv.DictReader(io.StringIO(csv_table.to_csv(comparison), newline="")))
    for row, token in zip(rows, comparison.shift["zero_shot"].tokens, strict=True):
        assert row["text"] in (token.text, "'" + token.text)
        assert not row["text"].lstrip(" ").startswith(tuple("=+-@\t\r\n＝"))
        assert float(row["kl_nats"]) == token.kl
        assert json.loads(row["base_top"]) == [list(entry) for entry in token.base_top]


def test_csv_has_a_line_for_every_context_and_position() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table.to_csv(build()), newline="")))
    assert [row["context"] for row in rows] == ["zero_shot"] * 15 + ["urial"] * 15
    assert rows[-1]["is_special"] == "True"


# --- the command that does it again -------------------------------------------------------------------------------


def arguments(line: str, folder: object = "/") -> list[str]:
    """What the command would be given, read back by a real shell."""
    script = f"python() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=environment, cwd=str(folder))
    return done.stdout.decode().split("\0")[:-1]


@given(SHELL_TEXT)
@settings(max_examples=60, deadline=None)
def test_a_shell_reads_back_the_query(query: str) -> None:
    words = arguments(command(build(query=query)))
    assert words[:3] == ["-m", "urial", "compare"]
    assert words[-2:] == ["--", query]


@pytest.mark.parametrize(
    "text", ["$(touch x)", "`id`", "'; rm -rf .; '", "-h", "!!", "a\nb", "\x1b]0;x\x07", "\u202ex"]
)
def test_dangerous_queries_stay_words(text: str) -> None:
    assert arguments(command(build(query=text)))[-1] == text


def test_hidden_characters_are_never_on_the_clipboard_as_such() -> None:
    assert quote("\x1b[2J\u202e") == "$'\\u001b[2J\\u202e'"


def test_command_names_what_was_run() -> None:
    words = arguments(command(build()))
    flags = dict(zip(words[3:-2:2], words[4:-2:2], strict=True))
    assert flags == {
        "--pair": "gemma-3-270m",
        "--method": "urial",
        "--examples": "3",
        "--contexts": "zero_shot,urial",
        "--max-new-tokens": "256",
        "--temperature": "0",
        "--top-p": "1",
        "--base-penalty": "1.1",
        "--aligned-penalty": "1",
        "--seed": "7",
        "--device": "cpu",
        "--dtype": "float32",
    }


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("query", ["Why?", "-h", "--seed"])
def test_the_command_line_takes_the_command(name: str, query: str) -> None:
    """The real parser reads back the settings, and the methods that take no number of examples are given none."""
    comparison = build(query=query, method=name)
    words = arguments(command(comparison))
    options = make_parser().parse_args(words[2:])
    assert options.query == query
    assert (options.method, options.seed, options.max_new_tokens) == (name, 7, 256)
    assert options.examples == (3 if METHODS[name].counts else None)
    assert (options.base_penalty, options.aligned_penalty) == (1.1, 1.0)


OWN_SETTINGS = st.one_of(
    st.none(),
    st.builds(
        SideSettings,
        temperature=st.floats(0, 5),
        top_p=st.floats(0.001, 1),
        repetition_penalty=st.floats(0.5, 2),
        max_new_tokens=st.integers(1, 1024),
        seed=st.integers(0, 2**31 - 1),
    ),
)


@given(OWN_SETTINGS, OWN_SETTINGS)
@settings(max_examples=40, deadline=None)
def test_the_command_asks_each_side_as_it_was_asked(base: SideSettings | None, aligned: SideSettings | None) -> None:
    """The real parser and the real request: after another draw of a side, the command still does the same again."""
    comparison = build()
    own = {"base": base, "aligned": aligned}
    sides = {name: comparison.side(name).model_copy(update={"settings": own[name]}) for name in own}
    comparison = comparison.model_copy(update=sides)
    asked = make_request(make_parser().parse_args(shlex.split(command(comparison))[3:]))
    assert {name: asked.decoding(name) for name in own} == {name: comparison.settings_of(name) for name in own}


def test_a_pair_behind_servers_names_no_device() -> None:
    comparison = build()
    served = comparison.pair.model_copy(update={"dtype": "as served", "device": "as served"})
    assert "--device" not in command(comparison.model_copy(update={"pair": served}))


def test_quantized_weights_are_named_by_their_quantization() -> None:
    comparison = build()
    small = comparison.pair.model_copy(update={"quantization": "nf4", "device": "cuda"})
    assert "--device cuda --dtype nf4" in command(comparison.model_copy(update={"pair": small}))


def test_earlier_turns_are_written_to_a_file_first(tmp_path) -> None:
    history = [Message(role="user", content="it's\n$HOME\x1b"), Message(role="assistant", content="grüß'e\u202e")]
    words = arguments(command(build(history=history)), tmp_path)
    assert words[words.index("--history") + 1] == "history.json"
    saved = json.loads((tmp_path / "history.json").read_text())
    assert saved == [message.model_dump() for message in history]
