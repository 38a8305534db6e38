"""From hidden states to logits, a few rows at a time, so that [T, V] never exists at once.

Applies what a family does after its head (Gemma's softcap, Cohere's and Granite's scale), and is compared with the
family's own forward before it is first used: where they differ, that forward takes its place. Knows nothing about
caches, sampling or statistics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.base import LogitRows
from urial.engines.family_head import FamilyHead, are_close, some_states
from urial.engines.weight_first import layer_first

Postprocess = Callable[[torch.Tensor], torch.Tensor]


def family_postprocess(model: PreTrainedModel) -> Postprocess:
    """What the family's forward does to the head's output, in float32."""
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        return lambda logits: torch.tanh(logits / cap) * cap
    if getattr(config, "logit_scale", None):
        return lambda logits: logits * config.logit_scale
    if getattr(config, "logits_scaling", None):
        return lambda logits: logits / config.logits_scaling
    return lambda logits: logits


class Head:
    """The output layer of one model: hidden states [n, D] to float32 logits [n, V]."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._layer = layer_first(model.get_output_embeddings())
        self._postprocess = family_postprocess(model)
        # A plain layer in half precision on a GPU multiplies with a float32 result: no ties from rounding.
        self._plain = type(self._layer) is nn.Linear and self._layer.bias is None
        self._family: FamilyHead | None = None
        self._choice = threading.Lock()
        self._is_chosen = False  # at the first use, as a GPU may be there only then

    @property
    def weight(self) -> torch.Tensor:
        return self._layer.weight

    @property
    def is_plain(self) -> bool:
        """Whether it is the output layer and `family_postprocess`, as in the family's own forward."""
        with self._choice:
            if not self._is_chosen:
                self._family = self._needed()
                self._is_chosen = True
        return self._family is None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.to(self._layer.weight.device)  # a model over several GPUs may end elsewhere
        return self._own(hidden) if self.is_plain else self._family(hidden)

    @torch.inference_mode()
    def _needed(self) -> FamilyHead | None:
        """The family's own way, where it comes to other logits than this one."""
        family, states = FamilyHead(self._model), some_states(self._model, self._layer)
        return None if are_close(self._own(states), family(states), states.dtype) else family

    def _own(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._postprocess(self._multiply(hidden))

    def _multiply(self, hidden: torch.Tensor) -> torch.Tensor:
        half = hidden.dtype in (torch.bfloat16, torch.float16)
        if self._plain and half and hidden.is_cuda:
            return torch.mm(hidden, self._layer.weight.t(), out_dtype=torch.float32)
        return self._layer(hidden).float()


class HiddenRows:
    """Logit rows that are made when asked for; holds n hidden states [n, D]."""

    def __init__(self, hidden: torch.Tensor, head: Head) -> None:
        self.hidden = hidden
        self.head = head

    def __len__(self) -> int:
        return self.hidden.shape[0]

    @torch.inference_mode()
    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]."""
        return self.head(self.hidden[start:stop])


class Together:
    """Sources under the same output layer: the chunk that one of them is asked for is made for all in one reading."""

    def __init__(self, sources: Sequence[HiddenRows]) -> None:
        self._sources = sources
        self._made: dict[tuple[int, int, int], torch.Tensor] = {}

    def take(self, index: int, start: int, stop: int) -> torch.Tensor:
        """The rows of one source; they are kept no longer than until they are taken."""
        if (index, start, stop) not in self._made:
            self._make(start, stop)
        return self._made.pop((index, start, stop))

    @torch.inference_mode()
    def _make(self, start: int, stop: int) -> None:
        hidden = torch.cat([source.hidden[start:stop] for source in self._sources])
        parts = self._sources[0].head(hidden).split(stop - start)
        self._made = {(index, start, stop): part for index, part in enumerate(parts)}


class TogetherRows:
    """One of several sources under the same output layer."""

    def __init__(self, together: Together, index: int, length: int) -> None:
        self._together = together
        self._index = index
        self._length = length

    def __len__(self) -> int:
        return self._length

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]."""
        return self._together.take(self._index, start, stop)


def together(sources: Mapping[str, LogitRows]) -> dict[str, LogitRows]:
    """The same sources; those with equal lengths under one output layer share each reading of its weights."""
    groups: dict[object, list[str]] = {}
    for name, source in sources.items():
        key = (id(source.head.weight), len(source)) if isinstance(source, HiddenRows) else name
        groups.setdefault(key, []).append(name)
    found = dict(sources)
    for names in groups.values():
        if len(names) > 1:
            shared = Together([sources[name] for name in names])
            found |= {name: TogetherRows(shared, i, len(sources[name])) for i, name in enumerate(names)}
    return found
