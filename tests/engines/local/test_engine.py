"""The local engine against transformers' own generate and forward, on tiny random models of several families."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import PreTrainedModel

from tests.support import tiny
from tests.support.runners import engine_over, shared
from urial.engines.base import Sampling
from urial.engines.local.choose_runner import KEPT_PREFIXES
from urial.engines.local.cpu_linear import WeightFirst
from urial.engines.local.torch_runner import AdapterFactors, SequentialRunner, TorchRunner, runner_tree
from urial.errors import MismatchError, SettingsError
from urial.weights.adapters import LowRankLinear, share_tensors

PROMPT = "the answer to the question is here, and a longer text follows so that windows are passed. " * 2


def ids_of(engine, text: str = PROMPT) -> list[int]:
    return engine.encode(text)


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_tokens_equal_transformers_generate(family: str, penalty: float) -> None:
    engine = tiny.engine(family)
    ids = ids_of(engine)
    ours = [p.id for p in engine.generate(ids, Sampling(max_new_tokens=24, repetition_penalty=penalty))]
    theirs = engine.model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        max_new_tokens=24,
        do_sample=False,
        repetition_penalty=penalty,
    )[0, len(ids) :].tolist()
    assert ours == theirs


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_reading_behind_a_constant_beginning_changes_nothing(family: str) -> None:
    fresh, warm = tiny.engine(family), tiny.engine(family)
    ids = ids_of(fresh)
    warm.read_ahead(ids[:40])
    for _ in range(3):  # the kept beginning stays as it was
        sampling = Sampling(max_new_tokens=12)
        assert [p.id for p in warm.generate(ids, sampling)] == [p.id for p in fresh.generate(ids, sampling)]


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("cuts", [[20], [1, 4, 15], [7, 13]])
def test_score_rows_equal_one_forward_however_the_answer_is_cut(family: str, cuts: list[int]) -> None:
    engine = tiny.engine(family)
    context, answer = ids_of(engine), engine.encode_answer("here is the answer to the question, the answer")[:20]
    with torch.inference_mode():
        whole = engine.model(torch.tensor([context + answer])).logits[0, len(context) - 1 : -1].float()
    session, start, found = engine.open_score(context, 20), 0, []
    for size in cuts:
        rows = session.extend(answer[start : start + size])
        found.append(rows.chunk(0, len(rows)))
        start += size
    assert torch.allclose(torch.cat(found), whole[:start], atol=2e-4)


def test_the_same_seed_gives_the_same_answer_and_another_seed_another() -> None:
    engine = tiny.engine()

    def answer(seed: int) -> list[int]:
        return [p.id for p in engine.generate(ids_of(engine), Sampling(1.0, 0.9, 1.0, 24, seed))]

    assert answer(3) == answer(3)
    assert len({tuple(answer(seed)) for seed in range(4)}) > 1


def test_pieces_joined_are_the_decoded_answer_also_for_split_characters() -> None:
    engine = tiny.engine()
    text = "naïve 🙂 café 漢字 \u200b👩‍🚀 end"
    ids = engine.encode_answer(text)
    assert len(ids) > len(text)  # the byte-level tokenizer splits these characters
    assert "".join(engine.answer_pieces(ids)) == text


def test_an_answer_cut_inside_a_character_ends_in_the_replacement_character() -> None:
    engine = tiny.engine()
    ids = engine.encode_answer("ok 🙂")[:-1]
    pieces = engine.answer_pieces(ids)
    assert "".join(pieces) == tiny.tokenizer().decode(ids)
    assert len(pieces) == len(ids)


def test_the_end_token_has_no_text_and_ends_the_answer() -> None:
    ids = ids_of(tiny.engine())
    first = next(tiny.engine().generate(ids, Sampling(max_new_tokens=4))).id
    model = tiny.unchanged("llama", 0)
    engine = engine_over(TorchRunner(model), model, ends=frozenset({first}))
    pieces = list(engine.generate(ids, Sampling(max_new_tokens=4)))
    assert [(p.id, p.text, p.is_end) for p in pieces] == [(first, "", True)]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_answers_that_step_together_are_the_answers_that_step_alone(family: str) -> None:
    engine = tiny.engine(family)
    prompts = [ids_of(engine), ids_of(engine, "short"), ids_of(engine, "another one of some length")]
    alone = [[p.id for p in engine.generate(ids, Sampling(max_new_tokens=9))] for ids in prompts]
    running = [engine.generate(ids, Sampling(max_new_tokens=9)) for ids in prompts]
    together = list(zip(*zip(*running, strict=True), strict=True))
    assert [[p.id for p in pieces] for pieces in together] == alone


def test_threads_share_steps_without_mixing_answers() -> None:
    engine = tiny.engine()
    prompts = [ids_of(engine, f"text number {n} of some length") for n in range(8)]

    def answer(ids: list[int]) -> list[int]:
        return [p.id for p in engine.generate(ids, Sampling(max_new_tokens=12))]

    alone = [answer(ids) for ids in prompts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, prompts)) == alone


def adapted_twin(plain: PreTrainedModel) -> PreTrainedModel:
    """The same tensors with random low-rank layers on top."""
    twin = share_tensors(plain)
    torch.manual_seed(5)
    for layer in twin.base_model.layers:
        for part, name in ((layer.self_attn, "q_proj"), (layer.mlp, "down_proj")):
            linear = getattr(part, name)
            down, up = torch.randn(2, linear.in_features), torch.randn(linear.out_features, 2)
            setattr(part, name, LowRankLinear(linear, down, up))
    return twin


@pytest.mark.parametrize("kind", [TorchRunner, SequentialRunner])
def test_an_adapter_reaches_only_its_own_rows(kind: type) -> None:
    """Base and aligned over shared weights, in one batch: each answers as it does alone."""
    plain = tiny.model("gemma3")
    twin = adapted_twin(plain)
    held = shared(kind(twin))
    base = engine_over(held, plain, "base", ends=frozenset())
    aligned = engine_over(held, twin, "aligned", ends=frozenset())
    ids, sampling = ids_of(base), Sampling(max_new_tokens=15)
    alone = [[p.id for p in side.generate(ids, sampling)] for side in (base, aligned)]
    pairs = list(zip(base.generate(ids, sampling), aligned.generate(ids, sampling), strict=True))
    assert [[a.id for a, _ in pairs], [b.id for _, b in pairs]] == alone
    options = {"attention_mask": torch.ones(1, len(ids)), "max_new_tokens": 15, "do_sample": False}
    theirs = twin.generate(torch.tensor([ids]), **options, eos_token_id=None)[0, len(ids) :].tolist()
    assert alone[1] == theirs != alone[0]


def test_prefixes_are_bounded_and_forgotten_on_demand() -> None:
    engine = tiny.engine()
    for n in range(20):
        ids = ids_of(engine, f"{n} is the number of this text")
        engine.read_ahead(ids[:3])
        list(engine.generate(ids, Sampling(max_new_tokens=1)))
    assert 6 <= engine.held().prefixes <= KEPT_PREFIXES
    before = engine.held()
    engine.forget(ids)
    assert engine.held().prefixes == before.prefixes - 1 and engine.held().bytes < before.bytes


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=-1),
        Sampling(top_p=0),
        Sampling(top_p=1.5),
        Sampling(repetition_penalty=0),
        Sampling(max_new_tokens=0),
        Sampling(temperature=float("nan")),
        Sampling(temperature=float("inf")),
        Sampling(seed=2**64),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(sampling: Sampling) -> None:
    engine = tiny.engine()
    with pytest.raises(SettingsError) as caught:
        next(engine.generate(ids_of(engine), sampling))
    assert "\n" not in str(caught.value) and "choose" in str(caught.value)


def test_a_context_longer_than_the_model_is_one_sentence() -> None:
    engine = tiny.engine()
    with pytest.raises(SettingsError, match="reads at most 2,048"):
        next(engine.generate([5] * 2040, Sampling(max_new_tokens=20)))


def test_a_missing_chat_template_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine()
    monkeypatch.setattr(tiny.tokenizer(), "chat_template", None)
    with pytest.raises(MismatchError, match="chat template"):
        engine.render_chat([])


def test_token_names_keep_leading_spaces_and_show_bytes() -> None:
    engine = tiny.engine()
    (the,) = engine.encode_answer(" the")
    assert engine.token_text(the) == " the"
    assert engine.token_text(3) == "<end>"
    lone_byte = engine.encode_answer("🙂")[0]
    assert engine.token_text(lone_byte)


@pytest.mark.parametrize("rows", [(1,), (2,), (3, 5), (1, 1), (300,), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_weight_may_come_first(rows: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(7, 11, bias=bias), torch.randn(*rows, 7)
    found = WeightFirst(layer)(x)
    assert found.is_contiguous()
    torch.testing.assert_close(found, layer(x))


def test_only_plain_float32_layers_are_turned_round() -> None:
    def kinds(tree: torch.nn.Module) -> set[type]:
        return {type(module) for module in tree.modules()}

    half, whole = tiny.model("llama", 0).bfloat16(), tiny.model("llama", 0)
    tree = runner_tree(whole, AdapterFactors())
    assert torch.nn.Linear in kinds(runner_tree(half, AdapterFactors())) and torch.nn.Linear not in kinds(tree)
    assert torch.nn.Linear in kinds(whole)
    assert {id(p) for p in tree.parameters()} == {id(p) for p in whole.parameters()}
