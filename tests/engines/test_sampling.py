"""Drawing a token: by the probabilities that the settings leave, never one of none."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from urial.engines.base import Sampling
from urial.engines.sampling import Penalised, Sampler, drawn

SCORES = torch.tensor([[0.0, -math.inf, 1.0, 2.0, -math.inf, 0.5]])


def shares(draw: object, count: int = 4000) -> torch.Tensor:
    found = torch.tensor([draw() for _ in range(count)])  # type: ignore[operator]
    return torch.bincount(found, minlength=SCORES.shape[1]) / count


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    generator = torch.Generator().manual_seed(3)
    found, wanted = shares(lambda: int(drawn(SCORES, generator))), SCORES.softmax(-1)[0]
    assert found[1] == found[4] == 0
    spread = (wanted * (1 - wanted) / 4000).sqrt()
    assert ((found - wanted).abs() <= 4 * spread).all()


@pytest.mark.parametrize(("temperature", "top_p", "left"), [(0.5, 1.0, [0, 2, 3, 5]), (1.0, 0.7, [2, 3])])
def test_temperature_and_top_p_have_their_say(temperature: float, top_p: float, left: list[int]) -> None:
    sampler = Sampler(Sampling(temperature=temperature, top_p=top_p, seed=4), [0], torch.device("cpu"))
    found = shares(lambda: sampler.draw(SCORES))
    wanted = torch.zeros(SCORES.shape[1])
    wanted[left] = (SCORES[0, left] / temperature).softmax(-1)
    assert ((found - wanted).abs() <= 4 * (wanted * (1 - wanted) / 4000).sqrt()).all()


@pytest.mark.parametrize("place", [0, 2])
def test_a_random_number_at_either_end_draws_a_token_that_is_probable(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0.0 if place == 0 else 1.0  # 1 stands for a product that was rounded up to the whole
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([[number]], dtype=torch.float64))
    ends = torch.tensor([[-math.inf, -math.inf, 3.0, -math.inf]]) if place == 2 else SCORES
    assert int(drawn(ends, torch.Generator())) == place


def test_a_seed_repeats_its_draws() -> None:
    once, again = (
        [Sampler(Sampling(temperature=1.0, seed=seed), [0], torch.device("cpu")).draw(SCORES) for seed in range(30)]
        for _ in range(2)
    )
    assert once == again and len(set(once)) > 1


def test_chance_falls_otherwise_after_another_prompt() -> None:
    draws = {
        tuple(
            Sampler(Sampling(temperature=1.0, seed=seed), prompt, torch.device("cpu")).draw(SCORES)
            for seed in range(40)
        )
        for prompt in ([0], [1], [0, 1], [1, 0])
    }
    assert len(draws) == 4


def test_a_penalty_is_that_of_transformers() -> None:
    """Of a prompt that names a token twice and one beyond the head, and of an answer's tokens as they come."""
    device, generator = torch.device("cpu"), torch.Generator().manual_seed(3)
    penalised, seen = Penalised(1.3, [7, 2, 7, 40], device), [7, 2, 7, 40]
    for token in (5, 2, 39):
        logits = torch.randn(1, 40, generator=generator)
        given = logits.clone()
        expected = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([seen]), logits)
        assert torch.equal(penalised(logits), expected) and torch.equal(logits, given)
        penalised.add(token)
        seen.append(token)
