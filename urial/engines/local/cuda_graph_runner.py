"""Decoding steps as CUDA graphs: one launch in place of a thousand, where launches would take longer than the work.

On an H200 a step of an 8B model takes 5.3 ms; transformers' own `StaticCache`, compiled, takes 7.7 (BENCHMARKS.md).

A graph replays the same shapes over the same addresses. So every sequence that decodes has a slot in two tensors a
layer [slots, G, length, S], of which it sees what lies up to its position. One that a step leaves out takes part too,
and its next token writes again what it wrote. `TorchRunner` reads prompts; they move into a slot with their first
single token.
What may be captured: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from urial.engines.local.family_trial import one_line
from urial.engines.local.kv_cache import RaggedCache, begun_with
from urial.engines.local.on_gpu.kernels import DTYPES, kernels_for
from urial.engines.local.runner import Chunk, Prefix
from urial.engines.local.torch_runner import Attend, TorchRunner
from urial.errors import EngineError

log = logging.getLogger(__name__)

NO_ROOM = "The GPU's memory is full, so there is no room for one more answer; try again later, or a shorter query."
WARM_UPS = 2  # runs before a capture: kernels are chosen and workspaces made at the first

Step = Callable[[], torch.Tensor]  # reads and writes tensors that stay where they are; returns a new one
Pair = tuple[torch.Tensor, torch.Tensor]
Decoding = Sequence[tuple[int, "Chunk[SlotCache]"]]  # each with its slot


@dataclass(slots=True, eq=False)
class SlotCache:
    """A sequence's keys and values: in a cache of its own while its prompt is read, then in a slot."""

    own: RaggedCache
    index: int | None = None  # of the slot
    adapter: float = 0.0
    nbytes: int = 0  # of the slot

    def decodes(self, chunk: Chunk[SlotCache]) -> bool:
        return self.index is not None or (len(chunk.tokens) == chunk.rows == 1 and bool(self.own.layers))


def attend_in_slots(
    keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, query: torch.Tensor, scale: float | None
) -> torch.Tensor:
    """One query a slot [slots, H, 1, S] over keys and values [slots, G, length, S]; [slots, 1, H, S].

    The mask [slots, 1, 1, length] is 0 where a slot sees, -inf where not. Heads that share their keys go as several
    queries of one head.
    """
    slots, heads, _, size = query.shape
    grouped = query.reshape(slots, keys.shape[1], -1, size)
    found = functional.scaled_dot_product_attention(grouped, keys, values, mask, scale=scale)
    return found.reshape(slots, 1, heads, -1)


class SlotPass:
    """Stands where transformers expects a cache, for one step over the first slots at `positions` [slots, 1]."""

    def __init__(self, layers: dict[int, Pair], windows: Sequence[int | None], positions: torch.Tensor) -> None:
        self._layers, self._windows, self._positions = layers, windows, positions
        keys, values = layers[0]
        fits = keys.dtype in DTYPES and keys.shape == values.shape
        self._kernels = kernels_for(keys.device) if fits else None
        self._masks = {} if self._kernels else {window: self._mask(window, keys) for window in set(windows)}

    def _mask(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        places = torch.arange(like.shape[2], device=like.device)
        hidden = places > self._positions
        hidden |= places <= self._positions - (window or like.shape[2])
        shown = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device)
        return shown.masked_fill_(hidden, -torch.inf)[:, None, None]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Attend, None]:
        """Write each slot's position, [slots, G, 1, S] in all."""
        count, window = len(self._positions), self._windows[layer_idx]
        held = self._layers[layer_idx][0][:count], self._layers[layer_idx][1][:count]
        if self._kernels is not None:
            self._kernels.write(keys, values, held, self._positions)
            return partial(self._kernels.attend, *held, self._positions, window), None
        index = self._positions[:, None, None].expand(keys.shape)
        for room, new in zip(held, (keys, values), strict=True):
            room.scatter_(2, index, new)
        return partial(attend_in_slots, *held, self._masks[window]), None


class CudaGraphRunner:
    """One-token steps as graphs over slots; `TorchRunner` for all else."""

    worth_reading = 1
    can_rewind = False  # what is in a slot is not given out again

    def __init__(
        self, model: PreTrainedModel, capture: Graphs | None = None, length_step: int = 512, kept_bytes: int = 2**30
    ) -> None:
        """Slots grow by `length_step` positions, which voids what was captured. Those of up to `kept_bytes` stay when
        nobody is left, so that the next answer finds them and their graphs. `model` lies on one device."""
        self._torch, self._like = TorchRunner(model), next(model.parameters())
        self.limits = self._torch.limits
        self._capture = capture or Graphs(model.device)
        self._length_step, self._kept_bytes = length_step, kept_bytes
        self._taken: dict[int, SlotCache] = {}  # by the slot's number
        self._layers: dict[int, Pair] = {}
        self._inputs = self._factors = torch.empty(0)
        self._steps: dict[int, Step] = {}  # by the number of slots

    @property
    def captures(self) -> bool:
        """Whether steps are graphs; one that could not be captured runs as it is."""
        return self._capture.works

    def open(self, capacity: int, prefix: Prefix[SlotCache] | None) -> SlotCache:
        return SlotCache(begun_with(Prefix(prefix.cache.own, prefix.length) if prefix else None, capacity))

    @torch.inference_mode()
    def forward(self, batch: Sequence[Chunk[SlotCache]]) -> Sequence[torch.Tensor]:
        going = [chunk for chunk in batch if chunk.cache.decodes(chunk)]
        decoding = [(self._take_slot(chunk), chunk) for chunk in going]
        found = {id(chunk): rows for chunk, rows in zip(going, self._decode(decoding), strict=True)}
        prompts = [chunk for chunk in batch if id(chunk) not in found]
        own = [Chunk(chunk.cache.own, chunk.tokens, chunk.rows, chunk.adapter) for chunk in prompts]
        found |= zip(map(id, prompts), self._torch.forward(own) if own else (), strict=True)
        for chunk in going:  # now that nothing can fail
            chunk.cache.own.length += len(chunk.tokens)
        return [found[id(chunk)] for chunk in batch]

    def _decode(self, decoding: Decoding) -> list[torch.Tensor]:
        """Logits after the wanted tokens of each: one step for the first token of all, one for the second, ..."""
        if not decoding:
            return []
        most = max(len(chunk.tokens) for _, chunk in decoding)
        steps = [self._step(decoding, ahead) for ahead in range(most)]
        spans = [(index, len(chunk.tokens) - chunk.rows, len(chunk.tokens)) for index, chunk in decoding]
        wanted = [step[index] for index, start, stop in spans for step in steps[start:stop]]
        counts = [stop - start for _, start, stop in spans]
        return list(self._torch.head(torch.stack(wanted)).split(counts))

    def close(self, cache: SlotCache) -> None:
        """Free the slot for another answer, and large room when nobody is left."""
        if cache.index is not None and self._taken.get(cache.index) is cache:
            del self._taken[cache.index]
        if not self._taken and sum(t.nbytes for pair in self._layers.values() for t in pair) > self._kept_bytes:
            self._layers = {}
            self._void()

    def _take_slot(self, chunk: Chunk[SlotCache]) -> int:
        """Its slot; at first what was read is copied there. Raises EngineError where the memory is full."""
        cache = chunk.cache
        if cache.index is not None:
            return cache.index
        index = next(index for index in range(len(self._taken) + 1) if index not in self._taken)
        try:
            self._make_room(cache.own, index + 1, cache.own.capacity + 1)  # riding along, a full answer still writes
        except torch.OutOfMemoryError as error:
            raise EngineError(NO_ROOM) from error
        for number, pair in cache.own.layers.items():
            for room, held in zip(self._layers[number], pair, strict=True):
                room[
                    index
                ].zero_()  # for torch's attention what is masked counts as zero times itself: it has to be finite
                room[index, :, : cache.own.length] = held[0, :, : cache.own.length]
        cache.own = RaggedCache(0, cache.own.length)
        cache.index, cache.adapter = index, chunk.adapter
        cache.nbytes = sum(room[index].nbytes for pair in self._layers.values() for room in pair)
        self._taken[index] = cache
        return index

    def _make_room(self, like: RaggedCache, count: int, length: int) -> None:
        """Slots in powers of two. Both rooms exist at once for a layer only; what there was stays if one fails."""
        held = tuple(self._layers[0][0].shape[0::2]) if self._layers else (0, 0)
        length = -(-max(held[1], length) // self._length_step) * self._length_step
        slots = max(held[0], 1 << (count - 1).bit_length())
        if held == (slots, length):
            return
        self._void()
        grown: dict[int, Pair] = {}
        for number, pair in like.layers.items():
            keys, values = (t.new_zeros(slots, t.shape[1], length, t.shape[3]) for t in pair)
            for room, old in zip((keys, values), self._layers.get(number, ()), strict=False):
                room[: old.shape[0], :, : old.shape[2]] = old
            grown[number] = keys, values
        self._layers = grown
        self._inputs = torch.zeros(2, slots, dtype=torch.long, device=self._like.device)
        self._factors = torch.zeros(slots, 1, 1, dtype=self._like.dtype, device=self._like.device)

    def _void(self) -> None:
        """The tensors that steps were captured over are about to move."""
        self._steps.clear()
        self._capture.clear()

    def _step(self, decoding: Decoding, ahead: int) -> torch.Tensor:
        """Hidden states [slots, D] after token `ahead` of each that has one; a copy."""
        count = 1 << max(self._taken).bit_length()
        if count not in self._steps:
            self._fill((), 0)  # a capture's first runs write only what will be written again
            self._steps[count] = self._capture(partial(self._run, count))
        self._fill(decoding, ahead)
        return self._steps[count]().clone()

    def _fill(self, decoding: Decoding, ahead: int) -> None:
        """Two copies to the device, which the host does not wait for."""
        slots, pin = self._inputs.shape[1], self._like.is_cuda
        tokens, positions, factors = [0] * slots, [0] * slots, [0.0] * slots
        for index, cache in self._taken.items():
            positions[index], factors[index] = cache.own.length, cache.adapter
        for index, chunk in decoding:
            read = min(ahead, len(chunk.tokens))
            positions[index] += read  # one that has no more tokens rides along behind its last
            tokens[index] = chunk.tokens[read] if read < len(chunk.tokens) else 0
        self._inputs.copy_(torch.tensor([tokens, positions], pin_memory=pin), non_blocking=True)
        self._factors.copy_(torch.tensor(factors, pin_memory=pin)[:, None, None], non_blocking=True)

    def _run(self, count: int) -> torch.Tensor:
        """Hidden states [count, D] of one step over the first slots: no shape and no branch depends on a value."""
        tokens, positions = self._inputs[:, :count].unsqueeze(-1)
        self._torch.factors.column = self._factors[:count]
        cache = SlotPass(self._layers, self._torch.windows, positions)
        output = self._torch.layers(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=True)
        return output.last_hidden_state[:, 0]


@dataclass
class Graphs:
    """Steps as CUDA graphs over one pool of memory; one that cannot be captured, and all after it, run as they are."""

    device: torch.device
    _pool: Any = None
    works: bool = True

    def clear(self) -> None:
        self._pool = None  # a pool goes with its last graph

    def __call__(self, step: Step) -> Step:
        if not self.works:
            return step
        try:
            with torch.cuda.device(self.device):
                return self.captured(step)
        except RuntimeError as error:  # torch's word for what CUDA refuses; out of memory is one of them
            self.works = False
            first: BaseException = error
            while first.__context__:  # the end of a broken capture raises an error of its own
                first = first.__context__
            log.warning("this model's step cannot be captured, so it decodes more slowly: %s", one_line(first))
            return step

    def captured(self, step: Step) -> Step:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # left even where the end of a broken capture raises
            for _ in range(WARM_UPS):
                step()
            with torch.cuda.graph(graph, self._pool, stream, capture_error_mode="thread_local"):
                found = step()
        torch.cuda.current_stream().wait_stream(stream)
        return lambda: (graph.replay(), found)[1]  # type: ignore[func-returns-value]  # run for what it writes
