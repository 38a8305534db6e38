"""Learning from pairs: the loss and its gradient, what it changes, the file of pairs, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, logsigmoid

from tests.sibling.test_training import SMALL, some_examples
from tests.support import tiny
from urial.cli.main import main
from urial.errors import RecordError, SettingsError
from urial.sibling.checkpoints import RunLog
from urial.sibling.learner import learner_of
from urial.sibling.masking import ChatEncoder, Encoded
from urial.sibling.preference import EncodedPair, Preference, PreferenceObjective, load_pairs
from urial.sibling.recipe import Recipe
from urial.sibling.train import Run, add_lora, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]

WHOLE = replace(SMALL, most_tokens=150, sampled_tokens=0)  # softmax over the whole vocabulary
PREFERENCE = Preference(beta=0.5, answer_weight=0.3)


def some_pairs() -> list[EncodedPair]:
    """Three pairs, and one conversation that is only to be kept."""
    encoder = ChatEncoder(tiny.tokenizer())
    encoded = [encoder.encode(e, 1024) for e in some_examples(7)]
    return [*(EncodedPair(encoded[i], encoded[i + 3]) for i in range(3)), EncodedPair(encoded[6])]


def log_probability(causal: torch.nn.Module, text: Encoded) -> torch.Tensor:
    """The plain definition: of all answer tokens together, in nats."""
    logits = causal(input_ids=torch.tensor([text.ids])).logits[0, :-1]
    learned = torch.tensor(text.learned[1:])
    return -cross_entropy(logits[learned], torch.tensor(text.ids[1:])[learned], reduction="sum")


def test_loss_and_gradient_are_those_of_the_formula() -> None:
    causal, pairs = tiny.model("gemma3"), some_pairs()
    causal.requires_grad_(False)
    adapter = add_lora(causal, SMALL)
    objective = PreferenceObjective(learner_of(causal), pairs, PREFERENCE, [], WHOLE)
    with torch.no_grad():
        start = [[log_probability(causal, text) for text in pair.both] for pair in pairs]
        for number, weight in enumerate(p for p in adapter.parameters() if p.requires_grad):
            weight += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    expected = []
    for pair, before in zip(pairs, start, strict=True):
        now = [log_probability(causal, text) for text in pair.both]
        loss = -0.3 * now[0] / pair.better.answer_tokens
        if pair.worse is not None:
            loss = loss - logsigmoid(0.5 * ((now[0] - before[0]) - (now[1] - before[1])))
        expected.append(loss)
    wanted = torch.stack(expected).mean()
    trained = [p for p in adapter.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(wanted, trained)
    loss, tokens = objective.backward(range(4), step=0)
    assert loss == pytest.approx(wanted.item(), rel=1e-4)
    assert tokens == sum(text.answer_tokens for pair in pairs for text in pair.both)
    for weight, gradient in zip(trained, gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=1e-5)


def test_the_better_answers_gain_on_the_worse_ones(tmp_path: Path) -> None:
    causal, pairs = tiny.model("gemma3"), some_pairs()[:3]
    causal.requires_grad_(False)
    recipe = Recipe(**{**SMALL.__dict__, "epochs": 6})
    adapter, learner = add_lora(causal, recipe), learner_of(causal)

    def lead() -> float:
        with torch.no_grad():
            return sum(
                (log_probability(causal, pair.better) - log_probability(causal, pair.worse)).item()
                for pair in pairs
                if pair.worse is not None
            )

    before = lead()
    objective = PreferenceObjective(learner, pairs, PREFERENCE, [], recipe)
    train(Run(learner, adapter, objective, [], recipe, tmp_path, "pairs", lambda done, total, loss: None))
    losses = [line["loss"] for line in RunLog(tmp_path).lines()]
    assert len(losses) == 12 and losses[-1] < losses[0]
    assert lead() > before + 1


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="beta"):
        Preference(beta=0)
    with pytest.raises(SettingsError, match="weight"):
        Preference(answer_weight=-1)


LINE = {"messages": [{"role": "user", "content": "why"}, {"role": "assistant", "content": "here"}], "rejected": "not"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "write one object a line"),
        ("null", "rejected"),
        (json.dumps(LINE | {"rejected": " "}), "rejected"),
        (json.dumps(LINE | {"rejected": 3}), "rejected"),
        (json.dumps({"rejected": "not"}), "messages"),
        (json.dumps(LINE | {"chosen": "x"}), "keys topic and messages"),
    ],
)
def test_a_wrong_line_of_pairs_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(LINE) + "\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"pairs\.jsonl, line 3") as caught:
        load_pairs(path)
    assert says in str(caught.value)


def test_no_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        load_pairs(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(RecordError, match="holds no pair"):
        load_pairs(tmp_path / "empty.jsonl")


def test_the_command_goes_on_from_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, examples, pairs = tmp_path / "tiny-base", tmp_path / "mine.jsonl", tmp_path / "pairs.jsonl"
    tiny.model("gemma3").save_pretrained(base)
    tiny.tokenizer().save_pretrained(base)
    lines = [{"id": e.id, "messages": e.chat()} for e in some_examples(6)]
    examples.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    pairs.write_text("".join(json.dumps(line | {"rejected": "not why"}) + "\n" for line in lines), encoding="utf-8")
    few = ["--base-folder", str(base), "--rank", "2", "--alpha", "4", "--per-step", "2", "--epochs", "1"]
    few += ["--device", "cpu"]
    assert main(["sibling", "train", *few, "--examples", str(examples), "--out", str(tmp_path / "first")]) == 0
    start = str(tmp_path / "first" / "adapter")
    prefer = ["sibling", "prefer", str(pairs), *few, "--start", start, "--keep", str(examples)]
    assert main([*prefer, "--held-out", str(examples), "--out", str(tmp_path / "second")]) == 0
    log = RunLog(tmp_path / "second").lines()
    assert len([line for line in log if "loss" in line]) == 6  # six pairs and six to keep, two a step
    assert [line["step"] for line in log if "held_out_loss" in line] == [0, 6]
    capsys.readouterr()
    assert main([*prefer, "--out", str(tmp_path / "second"), "--beta", "0.2"]) == 2
    assert "holds a run with other settings" in capsys.readouterr().err
    assert (tmp_path / "second" / "adapter" / "adapter_model.safetensors").is_file()
