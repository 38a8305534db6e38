"""Who waits for a step goes together: one forward pass serves every answer that has chosen its last token.

Two columns of one comparison, and the answers of several visitors, share each reading of the weights; `line.py` says
who waits for whom. Knows trunks and output layers; nothing about prompts, text or statistics.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import torch
from transformers import DynamicCache, PreTrainedModel

from urial.engines.backbone import backbone_of, read_on
from urial.engines.head import Head
from urial.engines.line import Line, Seat
from urial.engines.output import Logits, Output
from urial.engines.stopping import result_of
from urial.engines.team import team_for
from urial.engines.trial import moves_as
from urial.engines.trunk import PromptReader, Trunk
from urial.engines.trunks import trunk_for

MOST_ROWS = 16  # in one step: beyond it a step gets slower about as fast as rows are added


class Steps(Protocol):
    """One answer's way forward: put in the chosen token, get the logits [1, V] that follow it."""

    keeps_rows_apart: bool  # whether they are the same to the last bit whatever other answers are stepped along

    def put(self, token: int) -> None: ...

    def logits(self) -> Logits: ...

    def close(self) -> None: ...


class Stepper:
    """Runs the waiting rows of one set of weights; safe to use from several threads."""

    def __init__(self, model: PreTrainedModel, turn: threading.Lock) -> None:
        """`model` carries the adapter where there is one; `turn` excludes other work on these weights."""
        self._team = team_for(model.device.type)
        self._trunk_made = trunk_for(model)
        self._output = Output(model)
        self.turn = turn
        self._line = Line()

    @property
    def _trunk(self) -> Trunk:
        """Waits where a first start still compiles: an answer must not depend on how far that is."""
        return result_of(self._trunk_made)

    @property
    def is_prepared(self) -> bool:
        """Whether a first step waits for nothing that is still being made."""
        return self._trunk_made.done() and self._output.is_prepared

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether an answer's logits are the same to the last bit whatever goes with it. Waits like `open`."""
        return self._trunk.keeps_rows_apart and self._output.keeps_rows_apart

    @property
    def reader(self) -> PromptReader | None:
        """What reads prompts in place of transformers' layers. Waits like `open`; to be used in turn."""
        return self._trunk.reader

    def steps_as(self, layers: PreTrainedModel, *, is_adapted: bool) -> bool:
        """Whether a step comes to what these layers come to; to be asked once for a family that may not fit."""
        trunk = self._trunk
        if trunk.reader is not None:
            return True  # made for its family alone
        with self.turn:
            return self._team(lambda: moves_as(trunk, layers, is_adapted=is_adapted))

    def logits_of(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [1, V] of a prompt's last hidden state [1, D]."""
        return self._team(lambda: self._output(hidden, is_greedy=False))[0]

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool, is_greedy: bool) -> SeatSteps:
        """Steps for an answer of up to `room` tokens after a prompt of `length` tokens."""
        trunk = self._trunk  # waited for out of turn: others may read their prompts meanwhile
        with self.turn:
            place = self._team(lambda: trunk.open(prompt, length, room, is_adapted=is_adapted))
        return SeatSteps(self, Seat(place, is_greedy))

    def put(self, seat: Seat, token: int) -> None:
        """The token that this answer chose; from now on the seat goes with the next step."""
        self._line.put(seat, token)

    def take(self, seat: Seat) -> Logits:
        """Logits [1, V] after the token that was put; runs a step unless another caller's step had it."""
        self._line.take(seat, lambda: self._step(seat))
        return seat.logits

    def leave(self, seat: Seat) -> None:
        """Give the seat up, in the middle or at the end."""
        with self.turn:
            self._line.leave(seat)
            self._trunk.close(seat.place)

    def _step(self, wanted: Seat) -> None:
        with self.turn:
            going = sorted(self._line.first(wanted, MOST_ROWS), key=lambda seat: seat.place.is_adapted)
            found = self._team(lambda: self._logits(going))
            settle(self._output.device)
            self._line.serve(going, found)  # still in turn: nobody leaves between

    @torch.inference_mode()
    def _logits(self, going: list[Seat]) -> Sequence[Logits]:
        """What follows each row's token."""
        hidden = self._trunk.hidden([seat.place for seat in going], [seat.token for seat in going])
        return self._output(hidden, is_greedy=all(seat.is_greedy for seat in going))


def settle(device: torch.device) -> None:
    """Wait for a GPU, which works behind its callers: a step lasts until its logits are there, so others can join."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


class SeatSteps:
    """Steps that go together with those of other answers."""

    def __init__(self, stepper: Stepper, seat: Seat) -> None:
        self._stepper = stepper
        self._seat = seat
        self.keeps_rows_apart = stepper.keeps_rows_apart

    def put(self, token: int) -> None:
        self._stepper.put(self._seat, token)

    def logits(self) -> Logits:
        return self._stepper.take(self._seat)

    def close(self) -> None:
        self._stepper.leave(self._seat)


class LoneSteps:
    """Steps through transformers' own cache, one answer at a time: for families that cannot decode by row."""

    keeps_rows_apart = False  # scoring reads in chunks, which sums otherwise

    def __init__(self, model: PreTrainedModel, cache: DynamicCache, turn: threading.Lock) -> None:
        self._model = model
        self._layers = backbone_of(model)
        self._head = Head(model)
        self._cache = cache
        self._turn = turn
        self._team = team_for(model.device.type)
        self._token = 0

    def put(self, token: int) -> None:
        self._token = token

    def logits(self) -> torch.Tensor:
        with self._turn:
            return self._team(self._step)

    @torch.inference_mode()
    def _step(self) -> torch.Tensor:
        tokens = torch.tensor([[self._token]], device=self._model.device)
        return self._head(read_on(self._layers, tokens, self._cache)[:, 0])

    def close(self) -> None:
        """Nothing to give back: the cache goes with this object."""
