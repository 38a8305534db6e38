"""The converter against transformers' own GGUF path, on tiny files; and files that are not what they should be."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tests.support.tiny_gguf import write_gguf
from urial.errors import WeightsError
from urial.progress import silent
from urial.weights.checkpoint import write_checkpoint
from urial.weights.gemma import implied_merges
from urial.weights.gguf_file import GgufFile, parse_gguf

HARD = [
    "the and  the   and    the",
    " the\tand\t\tthe\n\n\nand",
    "日本語 and é",
    "<start_of_turn>user\nthe<end_of_turn>\n<start_of_turn>model\n",
    "🙂 the 👩‍👩‍👧",
    "<table>the</table>",
    "",
    " ",
    "\u2581the \u2581",
    "<bos><eos><0x41>",
]


def parse(path: Path) -> GgufFile:
    return parse_gguf(np.fromfile(path, dtype=np.uint8))


def convert(gguf: Path, folder: Path, dtype: str = "float32") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    folder.mkdir()
    write_checkpoint(parse(gguf), dtype, folder, silent)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def through_transformers(gguf: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        return model.eval(), AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def both(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    return (*convert(gguf, tmp_path_factory.mktemp("out") / "float32"), *through_transformers(gguf))


@torch.inference_mode()
def test_logits_equal_transformers_own_path(both: tuple) -> None:
    ours, tokenizer, theirs, _ = both
    for text in ["the and the", "日本語", HARD[3], "ing er and " * 20]:  # the last is longer than the window
        ids = torch.tensor([tokenizer.encode(text)])
        expected = theirs(ids).logits
        assert torch.allclose(ours(ids).logits, expected, rtol=0, atol=1e-6 * expected.abs().max().item())


def test_configuration_equals_transformers_own_path(both: tuple) -> None:
    ours, _, theirs, _ = both
    given_by_them = theirs.config.to_dict()
    for key, value in ours.config.to_dict().items():
        if key not in ("architectures", "_name_or_path", "dtype", "transformers_version"):
            assert given_by_them[key] == pytest.approx(value) if isinstance(value, float) else True, key
            assert isinstance(value, float) or given_by_them[key] == value, key


@pytest.mark.parametrize("text", HARD)
def test_token_ids_equal_transformers_own_path(both: tuple, text: str) -> None:
    _, ours, _, theirs = both
    assert ours.encode(text) == theirs.encode(text)
    assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(st.sampled_from([*"then adig.日é \t\n🙂\u2581", "<end_of_turn>", "<table>"]), max_size=30))
def test_token_ids_equal_for_any_text(both: tuple, parts: list[str]) -> None:
    _, ours, _, theirs = both
    text = "".join(parts)
    assert ours.encode(text) == theirs.encode(text)


def test_text_survives_the_tokenizer(both: tuple) -> None:
    _, ours, _, _ = both
    text = "a 日本語 text,\twith\n\nruns   of spaces and 🙂"
    assert ours.decode(ours.encode(text, add_special_tokens=False)) == text


def test_whole_tokenizer_json_is_the_same(both: tuple) -> None:
    _, ours, _, theirs = both
    one, other = (json.loads(t.backend_tokenizer.to_str()) for t in (ours, theirs))
    assert one == other


@settings(deadline=None)
@given(pieces=st.lists(st.text("abc", min_size=1, max_size=5), unique=True, max_size=40))
def test_merges_are_every_split_in_order(pieces: list[str]) -> None:
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    merges = list(implied_merges(vocabulary))
    assert len(set(merges)) == len(merges)
    for left, right in merges:
        assert {left, right, left + right} <= set(pieces)
    whole = [vocabulary[left + right] for left, right in merges]
    assert whole == sorted(whole)
    count = sum(p[:i] in vocabulary and p[i:] in vocabulary for p in pieces for i in range(1, len(p)))
    assert len(merges) == count


def test_half_precision_is_the_rounded_float32(gguf: Path, both: tuple, tmp_path: Path) -> None:
    model, _ = convert(gguf, tmp_path / "bfloat16", "bfloat16")
    for name, value in both[0].state_dict().items():
        assert torch.equal(model.state_dict()[name], value.to(torch.bfloat16)), name


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_0", "Q6_K", "Q8_0"])  # the kinds in the embedded file
def test_rows_come_in_chunks_of_the_same_values(kind: str) -> None:
    from urial.weights import gguf_file

    which = GGMLQuantizationType[kind]
    block, size = GGML_QUANT_SIZES[which]
    packed = np.random.default_rng(0).integers(0, 60, (7, 2 * size), dtype=np.uint8)
    info = gguf_file.TensorInfo("x", (7, 2 * block), which, 0, packed.size)
    file = GgufFile({}, {"x": info}, packed.ravel())
    chunks = list(file.rows("x", chunk_values=5 * block))  # two rows at a time
    assert [len(chunk) for chunk in chunks] == [4 * block, 4 * block, 4 * block, 2 * block]
    assert np.array_equal(np.concatenate(chunks), dequantize(packed, which).ravel())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.2, 0.9, 0.999])
def test_a_cut_file_is_refused(gguf: Path, share: float) -> None:
    data = np.fromfile(gguf, dtype=np.uint8)
    with pytest.raises(WeightsError, match="damaged or of an unknown version"):
        parse_gguf(data[: math.floor(share * len(data))].copy())


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, 3000), value=st.integers(0, 255))
def test_a_changed_header_is_refused_or_harmless(gguf: Path, place: int, value: int) -> None:
    data = np.fromfile(gguf, dtype=np.uint8)
    data[place] = value
    try:
        parse_gguf(data)
    except WeightsError as error:
        assert "\n" not in str(error)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", architecture="llama")
    with pytest.raises(WeightsError, match="'llama' model; only 'gemma3'"):
        write_checkpoint(parse(path), "float32", tmp_path, silent)


def test_an_unknown_tensor_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", extra_tensor="blk.0.mystery.weight")
    with pytest.raises(WeightsError, match="mystery"):
        write_checkpoint(parse(path), "float32", tmp_path, silent)


def test_progress_grows_to_the_end(gguf: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float | None]] = []
    write_checkpoint(parse(gguf), "float32", tmp_path, lambda stage, fraction: seen.append((stage, fraction)))
    fractions = [fraction for stage, fraction in seen if stage == "Converting the weights"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) > 50
    assert seen[-1] == ("Converting the tokenizer", None)
