"""Writes many answers at a time, greedily: batches of prompts padded on the left.

Pads on the far left are masked and lie outside every sliding window, so a row's answer does not depend on its
neighbours (up to rounding). Knows a model and token ids; knows nothing about prompts or measures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from urial.weights import LoadedModel


@dataclass(frozen=True)
class Job:
    """A prompt (token ids, beginning token included) and the id that its answer goes by."""

    id: str
    prompt: tuple[int, ...]


@dataclass(frozen=True)
class Written:
    """An answer: its token ids without the end token, its text, and whether it came to an end by itself."""

    id: str
    ids: tuple[int, ...]
    text: str
    ended: bool


class Reader(Protocol):
    """Shows a growing answer as text and knows where it ends."""

    stopped: bool

    def feed(self, piece: str) -> str: ...

    def finish(self) -> str: ...


class PlainReader:
    """Shows everything; only the model's own end token ends the answer."""

    stopped = False

    def feed(self, piece: str) -> str:
        return piece

    def finish(self) -> str:
        return ""


@dataclass(frozen=True)
class Writer:
    """How one side writes: its model, its penalty for repeating, the reader of its text."""

    loaded: LoadedModel
    most_new_tokens: int
    repetition_penalty: float
    make_reader: Callable[[], Reader]

    def write(self, jobs: Sequence[Job], batch: int) -> Iterator[Written]:
        """One answer a job, like lengths together; answers come batch by batch."""
        ordered = sorted(jobs, key=lambda job: (len(job.prompt), job.id))
        for start in range(0, len(ordered), batch):
            yield from self._batch(ordered[start : start + batch])

    def _batch(self, jobs: Sequence[Job]) -> list[Written]:
        ids, mask = _left_padded([job.prompt for job in jobs], self._pad)
        rows = Rows(self.loaded, [self.make_reader() for _ in jobs], ids.shape[1])
        with torch.no_grad():
            out = self.loaded.model.generate(
                input_ids=ids.to(self.loaded.model.device),
                attention_mask=mask.to(self.loaded.model.device),
                generation_config=self._config(),
                stopping_criteria=StoppingCriteriaList([rows]),
            )
        return [rows.written(i, job.id, out[i, ids.shape[1] :].tolist()) for i, job in enumerate(jobs)]

    @property
    def _pad(self) -> int:
        return self.loaded.model.config.pad_token_id or 0

    def _config(self) -> GenerationConfig:
        return GenerationConfig(
            do_sample=False,
            max_new_tokens=self.most_new_tokens,
            repetition_penalty=self.repetition_penalty,
            eos_token_id=sorted(self.loaded.end_ids),
            pad_token_id=self._pad,
        )


class Rows(StoppingCriteria):
    """Reads each row of a batch as it grows and tells which are done."""

    def __init__(self, loaded: LoadedModel, readers: list[Reader], prompt_length: int) -> None:
        self.tokenizer, self.end_ids = loaded.tokenizer, loaded.end_ids
        self.readers, self.start = readers, prompt_length
        self.decoded = [""] * len(readers)
        self.shown = [""] * len(readers)
        self.lengths: list[int | None] = [None] * len(readers)  # tokens at which a reader stopped

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        for row, reader in enumerate(self.readers):
            ids = input_ids[row, self.start :].tolist()
            if not reader.stopped:
                self._read(row, self._up_to_end(ids)[0])
                self.lengths[row] = len(ids) if reader.stopped else None
        return torch.tensor([reader.stopped for reader in self.readers], device=input_ids.device)

    def _read(self, row: int, ids: list[int]) -> None:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        if text.endswith("\N{REPLACEMENT CHARACTER}") or not text.startswith(self.decoded[row]):
            return  # a character is still incomplete
        self.shown[row] += self.readers[row].feed(text[len(self.decoded[row]) :])
        self.decoded[row] = text

    def _up_to_end(self, ids: list[int]) -> tuple[list[int], bool]:
        """The ids before the first end token, and whether there is one; what follows it is padding."""
        end = next((i for i, token in enumerate(ids) if token in self.end_ids), None)
        return (ids, False) if end is None else (ids[:end], True)

    def written(self, row: int, identity: str, ids: list[int]) -> Written:
        """The row's answer, once generation is over."""
        answer, ended = self._up_to_end(ids[: self.lengths[row]])
        text = self.shown[row] + (self.readers[row].finish() if ended else "")
        return Written(identity, tuple(answer), text, ended or self.readers[row].stopped)


def _left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and mask (B, longest)."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask
