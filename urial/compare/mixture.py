"""The next token from the mixture of two models: (1 - share) log P_base + share log P_aligned, normalised.

Logits serve as well as logarithms: the normalisers are the same for all tokens. A model's repetition penalty acts on
its own logits, with its own prompt in sight, before they are mixed: so share 0 is the base's own answer and 1 the
aligned one. Tokens that only one model knows take no part. Shapes: rows and scores are [1, V].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from urial.compare.writing_together import rank_of
from urial.engines.local.engine import LocalEngine
from urial.engines.sampling import Penalised, Sampler


class Mixture:
    """Chooses token after token of one answer; `base_ranks` grow with it."""

    def __init__(
        self,
        engine: LocalEngine,
        share: float,
        penalised: tuple[Penalised, Penalised],
        sampler: Sampler,
        vocabulary: int,
    ) -> None:
        """`penalised` are the base's and the aligned model's; `sampler` draws from the mixture."""
        self._engine, self._share, self._penalised = engine, share, penalised
        self._sampler, self._vocabulary = sampler, vocabulary
        self.base_ranks: list[int | None] = []

    def choose(self, rows: Sequence[torch.Tensor]) -> int:
        """From the base's row and the aligned model's."""
        base, aligned = rows[0], rows[1].to(rows[0].device)
        token = self._engine.draw(self._sampler, self._mixed(base, aligned))
        for penalised in self._penalised:
            penalised.add(token)
        self.base_ranks.append(rank_of(base[:, : self._vocabulary], token))
        return token

    def _mixed(self, base: torch.Tensor, aligned: torch.Tensor) -> torch.Tensor:
        """Scores of the tokens that both know; a token that either model rules out stays ruled out."""
        rows = zip(self._penalised, (base, aligned), strict=True)
        ours, theirs = (scores(row)[:, : self._vocabulary] for scores, row in rows)
        mixed = (1 - self._share) * ours + self._share * theirs
        if self._share > 1:  # beyond the aligned model the base's logarithm counts against a token
            mixed = mixed.masked_fill(ours.isneginf() | theirs.isneginf(), -torch.inf)
        return mixed
