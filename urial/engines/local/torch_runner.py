"""Runners over transformers' own layers, for any family.

`TorchRunner` packs the tokens of all sequences side by side into one row [1, N]: the layers see one text, and attention
alone keeps the sequences apart, each over its own keys. It is for families that attend plainly. `SequentialRunner` is
for the others (soft caps on scores, linear attention, ...): one sequence at a time over transformers' own cache.
Both carry the adapter, where there is one, as a factor for each token. Shapes: N tokens, G groups of keys, S head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import CausalBias, causal_lower_right
from transformers import AttentionInterface, DynamicCache, PreTrainedModel

from urial.engines.local.backbone import backbone_of, read_on
from urial.engines.local.cpu_linear import put_weights_first
from urial.engines.local.kv_cache import PLAIN_LAYERS, OwnCache, RaggedCache, begun_with
from urial.engines.local.lm_head import LmHead
from urial.engines.local.on_gpu.layers import use_larger_kernels
from urial.engines.local.runner import Chunk, Limits, Prefix, limits_on, side_by_side, wanted_rows
from urial.weights.adapters import LowRankLinear, share_tensors

RUNNER_ATTENTION = "urial_runner"
WORTH_READING = 16  # answer tokens for which a sequence is read alone


# The adapter


class AdapterFactors:
    """The factor of the low-rank part for each token of a pass, [N, 1]; the layers of one tree share it."""

    def __init__(self) -> None:
        self.column: torch.Tensor | None = None  # None where all are 0

    def set(self, factors: Sequence[float], like: torch.Tensor) -> None:
        self.column = torch.tensor(factors, device=like.device, dtype=like.dtype)[:, None] if any(factors) else None


class ScaledLowRank(nn.Module):
    """y = base(x) + f (x A^T) B^T with a factor f for each token: with 1 the adapted layer, with 0 the base's."""

    def __init__(self, layer: LowRankLinear, factors: AdapterFactors) -> None:
        super().__init__()
        self.layer = layer
        self._factors = factors

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., N, in] to [..., N, out]."""
        if self._factors.column is None:
            return self.layer.base(x)
        down = functional.linear(x, self.layer.down) * self._factors.column.to(x.device)
        return self.layer.base(x) + functional.linear(down, self.layer.up)


def runner_tree(model: PreTrainedModel, factors: AdapterFactors, attention: str | None = None) -> PreTrainedModel:
    """A second tree over the same tensors, with factors on its low-rank layers and its own way of attending."""
    tree = share_tensors(model)
    if attention is not None:
        tree.set_attn_implementation(attention)
    put_weights_first(tree)
    for parent in list(tree.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, ScaledLowRank(child, factors))
    return tree


# Attention over the sequences of a pass


# What a runner's cache gives a layer in place of keys, which knows who may see what: from queries [1, H, N, S], and the
# scale of their scores, to [1, N, H, S].
Attend = Callable[[torch.Tensor, float | None], torch.Tensor]


Mask = torch.Tensor | CausalBias
# Of one pass: by start, length, count and window, and the device, as layers may lie on several.
Masks = dict[tuple[int, int, int, int | None, torch.device], Mask]


class PassCache:
    """Stands where transformers expects a cache, for one pass over some sequences in their order."""

    def __init__(self, batch: Sequence[Chunk[RaggedCache]], windows: Sequence[int | None]) -> None:
        self._batch, self._windows = batch, windows
        self._masks: Masks = {}

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Attend, None]:
        """Write every sequence's positions, [1, G, N, S] in all."""
        parts, start = [], 0
        for chunk in self._batch:
            tokens = slice(start, start + len(chunk.tokens))
            parts.append((tokens, *chunk.cache.write(layer_idx, keys[:, :, tokens], values[:, :, tokens])))
            start = tokens.stop
        return partial(attend_apart, parts, self._windows[layer_idx], self._masks), None


def attend_apart(
    parts: Sequence[tuple[slice, torch.Tensor, torch.Tensor]],
    window: int | None,
    masks: Masks,
    query: torch.Tensor,
    scale: float | None,
) -> torch.Tensor:
    """Queries [1, H, N, S], each over its own sequence; [1, N, H, S].

    `parts`: of each sequence, which of the N tokens are its own, and all keys and values that it holds.
    """
    found = [attend_last(query[:, :, tokens], keys, values, window, scale, masks) for tokens, keys, values in parts]
    return torch.cat(found, dim=2).transpose(1, 2)


def attend_last(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    window: int | None,
    scale: float | None,
    masks: Masks,
) -> torch.Tensor:
    """Queries [1, H, n, S] of a sequence's last n positions over those that each may see.

    `window` is the most that a position sees, its own included; None sees all. `masks` are those of the pass so far.
    """
    count, length = query.shape[2], keys.shape[2]
    start = max(0, length - count + 1 - window) if window else 0
    keys, values = keys[:, :, start:], values[:, :, start:]
    mask: Mask | None = None  # a single position sees all that is left
    if count > 1:
        kind = start, length, count, window, query.device
        if kind not in masks:
            masks[kind] = mask_of_last(start, length, count, window, query)
        mask = masks[kind]
    is_grouped = query.shape[1] != keys.shape[1]
    if is_grouped and query.is_cuda and not takes_groups(mask, query):
        keys, values = (each.repeat_interleave(query.shape[1] // keys.shape[1], 1) for each in (keys, values))
        is_grouped = False
    return functional.scaled_dot_product_attention(query, keys, values, mask, scale=scale, enable_gqa=is_grouped)


def takes_groups(mask: Mask | None, query: torch.Tensor) -> bool:
    """Whether a GPU's quick kernels share keys between heads: one does, for half precision, and knows no masks."""
    is_half = query.dtype in (torch.bfloat16, torch.float16)
    return is_half and isinstance(mask, CausalBias | None) and torch.cuda.get_device_capability(query.device) >= (8, 0)


def mask_of_last(start: int, length: int, count: int, window: int | None, like: torch.Tensor) -> Mask:
    """0 where each of the last `count` positions sees those from `start` on [count, length - start], -inf where not."""
    if like.is_cuda and (window is None or length <= window):
        return causal_lower_right(count, length)  # known to the quick kernels, which read none
    seen = torch.arange(start, length, device=like.device)
    own = torch.arange(length - count, length, device=like.device)[:, None]
    is_hidden = (seen > own) | (seen <= own - window) if window else seen > own
    return torch.zeros(is_hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(is_hidden, -torch.inf)


@contextmanager
def quick_attention(device: torch.device) -> Iterator[None]:
    """Without cuDNN's on a GPU: it plans anew for each length, 70 ms at a time, and lengths never come again."""
    if device.type != "cuda":
        yield
        return
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        yield


def attend_by_cache(
    module: nn.Module,
    query: torch.Tensor,
    attend: Attend,
    values: None,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers that leaves the work to what the cache gave."""
    return attend(query, scaling), None


AttentionInterface.register(RUNNER_ATTENTION, attend_by_cache)


# The runners


def attends_plainly(model: PreTrainedModel) -> bool:
    """Whether attention over a sequence's own keys is all that this family does: no softcap, no linear attention."""
    config = model.config.get_text_config()
    softcapped = getattr(config, "attn_logit_softcapping", None) is not None
    plain = all(type(layer) in PLAIN_LAYERS for layer in DynamicCache(config=config).layers)
    return bool(getattr(model, "_supports_sdpa", False)) and not softcapped and plain


class TorchRunner:
    """All sequences in one pass of transformers' layers.

    A matrix library may sum otherwise for other numbers of rows, so the last digits depend on what else is in the pass.
    """

    can_rewind = True
    worth_reading = 1

    def __init__(self, model: PreTrainedModel) -> None:
        """`model` carries the adapter where there is one."""
        self.factors = AdapterFactors()
        self.layers = backbone_of(runner_tree(model, self.factors, RUNNER_ATTENTION))
        use_larger_kernels(self.layers)
        self.head = LmHead(model)
        layers = DynamicCache(config=model.config).layers
        self.windows = [getattr(layer, "sliding_window", None) for layer in layers]
        self._like = next(model.parameters())
        self.limits = limits_on(model)

    def open(self, capacity: int, prefix: Prefix[RaggedCache] | None) -> RaggedCache:
        return begun_with(prefix, capacity)

    @torch.inference_mode()
    def forward(self, batch: Sequence[Chunk[RaggedCache]]) -> Sequence[torch.Tensor]:
        tokens, positions, factors = side_by_side(batch)
        self.factors.set(factors, self._like)
        ids, places = torch.tensor([tokens, positions], device=self._like.device)[:, None]
        cache = PassCache(batch, self.windows)
        with quick_attention(self._like.device):
            output = self.layers(input_ids=ids, position_ids=places, past_key_values=cache, use_cache=True)
        found = self.head(output.last_hidden_state[0, wanted_rows(batch)]).split([chunk.rows for chunk in batch])
        for chunk in batch:
            chunk.cache.length += len(chunk.tokens)
        return found

    def close(self, cache: RaggedCache) -> None:
        """Nothing to give back: a cache goes with its object."""


class SequentialRunner:
    """One sequence after another, each with a cache of transformers' own."""

    can_rewind = False
    worth_reading = WORTH_READING

    def __init__(self, model: PreTrainedModel) -> None:
        """`model` carries the adapter where there is one."""
        self._factors = AdapterFactors()
        self._layers = backbone_of(runner_tree(model, self._factors))
        self._head = LmHead(model)
        self._config, self._like = model.config, next(model.parameters())
        self.limits = Limits(sequences=1)  # a family that reads token by token would hold up all others

    def open(self, capacity: int, prefix: Prefix[OwnCache] | None) -> OwnCache:
        return prefix.cache.fork() if prefix else OwnCache(DynamicCache(config=self._config))

    @torch.inference_mode()
    def forward(self, batch: Sequence[Chunk[OwnCache]]) -> Sequence[torch.Tensor]:
        (chunk,) = batch
        fork = chunk.cache.fork()  # a pass that breaks off leaves the sequence's own as it was
        self._factors.set([chunk.adapter for _ in chunk.tokens], self._like)
        ids = torch.tensor([list(chunk.tokens)], device=self._like.device)
        with quick_attention(self._like.device):
            hidden = read_on(self._layers, ids, fork.layers)[0]
        chunk.cache.layers = fork.layers
        return [self._head(hidden[len(hidden) - chunk.rows :])]

    def close(self, cache: OwnCache) -> None:
        """Nothing to give back: a cache goes with its object."""
