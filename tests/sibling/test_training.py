"""Training a sibling on tiny random models: the mask, the loss, the order, resuming, the adapter's files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from tests.support import tiny
from urial.errors import EngineError, RecordError, SettingsError, WeightsError, WeightsMissing
from urial.sibling.adapter_files import write_adapter
from urial.sibling.answer_loss import FULL, SampledVocabulary, Vocabulary, answer_losses
from urial.sibling.batches import epoch_steps, micro_batches
from urial.sibling.checkpoints import NAME, RunLog
from urial.sibling.examples import Example
from urial.sibling.learner import held_out_loss, learner_of
from urial.sibling.masking import GEMMA_TEMPLATE, ChatEncoder, ensure_chat_template
from urial.sibling.objectives import AnswerObjective
from urial.sibling.packing import packed
from urial.sibling.recipe import Recipe, fingerprint
from urial.sibling.train import Run, add_lora, rate_at, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]

WORDS = "the answer to question is here and why not now".split()
SMALL = Recipe(epochs=2, rank=2, alpha=4, learning_rate=1e-2, per_step=2, most_tokens=128, sampled_tokens=40)


def some_examples(count: int, seed: int = 1) -> list[Example]:
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(2, 9)))

    def conversation(turns: int) -> tuple[tuple[str, str], ...]:
        return tuple((role, text()) for _ in range(turns) for role in ("user", "assistant"))

    return [Example(f"e{i}", "any", conversation(1 + i % 3)) for i in range(count)]


def make_run(folder: Path, progress: Callable[[int, int, float], None] | None = None, recipe: Recipe = SMALL) -> Run:
    causal, encoder = tiny.model("gemma3"), ChatEncoder(tiny.tokenizer())
    causal.requires_grad_(False)
    adapter = add_lora(causal, recipe)
    examples = some_examples(7)
    encoded = [encoder.encode(e, 1024) for e in examples]
    learner = learner_of(causal)
    return Run(
        learner=learner,
        adapter=adapter,
        objective=AnswerObjective(learner, encoded[:5], sorted(encoder.added_ids), recipe),
        held_out=encoded[5:],
        recipe=recipe,
        folder=folder,
        fingerprint=fingerprint(recipe, "tiny", examples[:5], examples[5:]),
        progress=progress or (lambda done, total, loss: None),
    )


def trained_weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in run.adapter.named_parameters() if p.requires_grad}


def test_mask_marks_every_answer_with_its_end_and_nothing_else() -> None:
    encoder = ChatEncoder(tiny.tokenizer())
    turns = (("user", "why"), ("assistant", "the answer"), ("user", "not now"), ("assistant", "here"))
    encoded = encoder.encode(Example("e", "any", turns), 1024)
    learned = [i for i, is_learned in zip(encoded.ids, encoded.learned, strict=True) if is_learned]
    assert tiny.tokenizer().decode(learned) == "the answer<end>here<end>"
    assert encoded.answer_tokens == len(learned)
    assert encoder.prompt_ids([{"role": "user", "content": "why"}]) == list(encoded.ids[: encoded.learned.index(True)])


def test_conversation_that_does_not_fit_is_refused_not_cut() -> None:
    with pytest.raises(RecordError, match=r"e0.*shorten"):
        ChatEncoder(tiny.tokenizer()).encode(some_examples(1)[0], longest=3)


def test_tokenizer_without_template_or_turn_tokens_is_refused() -> None:
    class Bare:
        chat_template = None

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    with pytest.raises(WeightsMissing, match=r"chat_template\.jinja"):
        ensure_chat_template(Bare())


def test_gemma_template_renders_turns_and_a_system_text() -> None:
    tokenizer = tiny.tokenizer().__class__(tokenizer_object=tiny.tokenizer().backend_tokenizer, bos_token="<bos>")
    tokenizer.chat_template = GEMMA_TEMPLATE.read_text(encoding="utf-8")
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " Hi "}]
    opened = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert opened == "<bos><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    chat.append({"role": "assistant", "content": "Hello."})
    closed = tokenizer.apply_chat_template(chat, tokenize=False)
    assert closed == opened + "Hello.<end_of_turn>\n"


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_frozen_head_loss_and_gradient_are_cross_entropys(softcap: float | None) -> None:
    torch.manual_seed(0)
    head, targets = torch.randn(50, 8), torch.randint(50, (9,))
    ours, theirs = (torch.randn(9, 8, generator=torch.Generator().manual_seed(3)).requires_grad_() for _ in range(2))
    weights = torch.rand(9)
    losses = answer_losses(ours, head, targets, FULL, softcap)
    (losses * weights).sum().backward()
    logits = theirs @ head.T
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    expected = cross_entropy(logits, targets, reduction="none")
    (expected * weights).sum().backward()
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_sampled_loss_is_full_loss_when_all_is_sampled_once() -> None:
    torch.manual_seed(0)
    head, hidden, targets = torch.randn(50, 8), torch.randn(9, 8), torch.randint(50, (9,))
    shuffled = Vocabulary(torch.randperm(50), torch.zeros(50))
    torch.testing.assert_close(answer_losses(hidden, head, targets, shuffled), answer_losses(hidden, head, targets))


def test_sampled_partition_function_is_unbiased() -> None:
    torch.manual_seed(0)
    head, hidden, targets = torch.randn(200, 8) / 3, torch.randn(4, 8), torch.tensor([0, 1, 2, 3])
    sampled = SampledVocabulary(torch.arange(10), 200, 20, seed=5)
    logits = hidden @ head.T
    estimates = []
    for step in range(1000):
        loss = answer_losses(hidden, head, targets, sampled.at(step))
        estimates.append((loss + logits.gather(1, targets[:, None]).squeeze(1)).exp())
    torch.testing.assert_close(torch.stack(estimates).mean(0), logits.exp().sum(1), rtol=0.04, atol=0)


def test_sample_of_a_step_is_always_the_same_and_never_holds_the_fixed() -> None:
    one, other = (SampledVocabulary(torch.tensor([3, 1, 3]), 60, 15, seed=5) for _ in range(2))
    assert torch.equal(one.at(4).ids, other.at(4).ids)
    assert not torch.equal(one.at(4).ids, one.at(5).ids)
    assert one.at(4).ids[:2].tolist() == [1, 3] and not {1, 3} & set(one.at(4).ids[2:].tolist())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_losses_are_the_models_own(family: str) -> None:
    causal, encoder = tiny.model(family), ChatEncoder(tiny.tokenizer())
    encoded = [encoder.encode(e, 1024) for e in some_examples(6)]
    total, count = 0.0, 0
    for example in encoded:
        ids, learned = torch.tensor([example.ids]), torch.tensor(example.learned)[1:]
        with torch.no_grad():
            logits = causal(input_ids=ids).logits[0, :-1][learned]
        total += cross_entropy(logits, ids[0, 1:][learned], reduction="sum").item()
        count += int(learned.sum())
    assert held_out_loss(learner_of(causal), encoded, most_tokens=200) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_packed_row_has_the_losses_and_gradients_of_each_conversation_alone(family: str) -> None:
    causal, encoder = tiny.model(family), ChatEncoder(tiny.tokenizer())
    encoded = [encoder.encode(e, 1024) for e in some_examples(5)]
    window = getattr(causal.config, "sliding_window", None)
    assert window is None or window < max(len(e.ids) for e in encoded)
    causal.requires_grad_(False)
    causal.get_decoder().requires_grad_(True)
    alone = []
    for example in encoded:
        logits = causal(input_ids=torch.tensor([example.ids])).logits[0, :-1]
        learned = torch.tensor(example.learned[1:])
        alone.append(cross_entropy(logits[learned], torch.tensor(example.ids[1:])[learned], reduction="none"))
    expected = torch.cat(alone)
    weights = torch.rand(len(expected), generator=torch.Generator().manual_seed(3))
    parameters = {n: p for n, p in causal.get_decoder().named_parameters() if "embed" not in n}
    theirs = torch.autograd.grad((expected * weights).sum(), parameters.values())
    losses = learner_of(causal).losses(encoded, FULL)
    ours = torch.autograd.grad((losses * weights).sum(), parameters.values())
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)
    for name, one, other in zip(parameters, ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_the_model_attends_as_before_once_a_row_was_packed() -> None:
    causal, encoder = tiny.model("gemma3"), ChatEncoder(tiny.tokenizer())
    ids = torch.tensor([[0, 9, 8, 7], [0, 5, 6, 7]])
    with torch.no_grad():
        before = causal(ids).logits
        learner_of(causal).losses([encoder.encode(e, 1024) for e in some_examples(3)], FULL)
        assert torch.equal(causal(ids).logits, before)


def test_half_precision_base_trains_single_precision_weights_to_nearly_the_same_loss() -> None:
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        causal, encoder = tiny.model("gemma3").to(dtype), ChatEncoder(tiny.tokenizer())
        causal.requires_grad_(False)
        adapter = add_lora(causal, SMALL)
        losses = learner_of(causal).losses([encoder.encode(e, 1024) for e in some_examples(4)], FULL)
        losses.sum().backward()
        gradients = [p.grad for p in adapter.parameters() if p.requires_grad]
        assert {g.dtype for g in gradients} == {torch.float32} and any(g.abs().max() > 0 for g in gradients)
        found[dtype] = losses.detach()
    torch.testing.assert_close(found[torch.bfloat16], found[torch.float32], rtol=0.02, atol=0.02)


def test_every_epoch_shows_every_example_once() -> None:
    first, second = (epoch_steps(61, 4, seed=7, epoch=e) for e in range(2))
    assert sorted(i for step in first for i in step) == list(range(61)) == sorted(i for step in second for i in step)
    assert first != second and first == epoch_steps(61, 4, seed=7, epoch=0)


def test_micro_batches_hold_a_step_within_the_limit() -> None:
    lengths = [9, 50, 10, 300, 11]
    batches = micro_batches(range(5), lengths, most_tokens=60)
    assert [i for batch in batches for i in batch] == list(range(5))
    assert all(len(b) == 1 or sum(lengths[i] for i in b) <= 60 for b in batches)
    assert batches[0] == [0, 1]


def test_a_conversation_never_learns_its_neighbours_first_token() -> None:
    encoder = ChatEncoder(tiny.tokenizer())
    encoded = [encoder.encode(e, 1024) for e in some_examples(3)]
    row = packed(encoded)
    assert row.lengths == tuple(len(e.ids) for e in encoded) and row.ids.shape == (1, sum(row.lengths))
    assert row.positions[0].tolist() == [p for e in encoded for p in range(len(e.ids))]
    assert row.predicts.sum() == len(row.learned) == sum(e.answer_tokens for e in encoded)
    assert torch.equal(row.ids[0, 1:][row.predicts[:-1]], row.learned)
    assert not row.predicts[torch.tensor(row.lengths).cumsum(0) - 1].any()


def test_rate_rises_then_falls_to_a_tenth() -> None:
    rates = [rate_at(step, 100, SMALL) for step in range(100)]
    peak = rates.index(max(rates))
    assert 0 < peak < 10 and max(rates) == pytest.approx(SMALL.learning_rate)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(SMALL.learning_rate / 10, rel=0.02)


def test_training_lowers_the_loss_and_leaves_the_base_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, recipe=Recipe(**{**SMALL.__dict__, "epochs": 6}))
    frozen = {n: p.clone() for n, p in run.adapter.named_parameters() if not p.requires_grad}
    train(run)
    log = RunLog(tmp_path).lines()
    losses = [line["loss"] for line in log if "loss" in line]
    held = [line["held_out_loss"] for line in log if "held_out_loss" in line]
    assert len(losses) == 18 and sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert len(held) == 7 and held[-1] < held[0]
    assert all(torch.equal(p, frozen[n]) for n, p in run.adapter.named_parameters() if n in frozen)


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_interrupted_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    whole = make_run(tmp_path / "whole")
    train(whole)

    class Killed(BaseException):
        pass

    def die(done: int, total: int, loss: float) -> None:
        if done == stop_at + 1:
            raise Killed

    with pytest.raises(Killed):
        train(replace(make_run(tmp_path / "parts", die), checkpoint_seconds=0.0))
    again = make_run(tmp_path / "parts")
    train(again)
    expected = trained_weights(whole)
    assert all(torch.equal(weight, expected[name]) for name, weight in trained_weights(again).items())
    timeless = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in RunLog(tmp_path / part).lines()]
        for part in ("whole", "parts")
    ]
    assert timeless[0] == timeless[1]


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train(make_run(tmp_path))
    with pytest.raises(SettingsError, match="other settings"):
        train(make_run(tmp_path, recipe=Recipe(**{**SMALL.__dict__, "seed": 8})))


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match="damaged"):
        train(make_run(tmp_path))


def test_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with torch.no_grad():
        next(p for p in run.adapter.parameters() if p.requires_grad).fill_(float("nan"))
    with pytest.raises(EngineError, match="learning-rate"):
        train(run)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="epochs"):
        Recipe(epochs=0)
    with pytest.raises(SettingsError, match="sampled_tokens"):
        Recipe(sampled_tokens=-1)


def test_adapter_folder_gives_the_same_model_back(tmp_path: Path) -> None:
    from urial.weights.adapters import read_adapter, with_adapter

    run = make_run(tmp_path)
    train(run)
    write_adapter(run.adapter, tmp_path / "adapter", "tiny-base", "{{ messages }}")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-base" and str(tmp_path) not in json.dumps(config)
    assert (tmp_path / "adapter" / "chat_template.jinja").read_text() == "{{ messages }}"
    assert {t.dtype for t in load_file(tmp_path / "adapter" / "adapter_model.safetensors").values()} == {torch.float16}
    ids = torch.arange(5, 25)[None]
    fresh = with_adapter(tiny.model("gemma3"), read_adapter(tmp_path / "adapter"))
    with torch.no_grad():
        torch.testing.assert_close(fresh(ids).logits, run.learner.causal(ids).logits, atol=0.05, rtol=1e-2)
        assert (fresh(ids).logits - tiny.model("gemma3")(ids).logits).abs().max() > 0.1
