"""Kernels for a GPU. A step over few rows is made of many small ones: transformers' norm is six of them, and attention
over a single position keeps eight of a card's hundred processors busy.

They need Triton, which torch brings along for a GPU under Linux; `kernels.py` says where they can be used. All sums are
float32.
Attention by parts that are joined afterwards: https://pytorch.org/blog/flash-decoding/
Shapes: B slots, G groups of keys, R heads of a group, S head size, L positions that a slot has room for, N rows of
width D.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

LEAST = 16  # of rows and columns that a matrix unit multiplies: heads of a group, and narrow ones, are filled up to it
BLOCK_BYTES = 2**14  # of keys that a program reads at a time: it fits into the shared memory of small cards too
PROGRAMS = 256  # that share a layer's attention: about two for each processor of a large card
NO_WINDOW = 2**30


@triton.jit
def _attend_to_part(
    queries, keys, values, positions, sums, totals, maxima, scale, window, room, groups,
    R: tl.constexpr, S: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):  # fmt: skip
    """One part of what a slot's position sees, for the heads of one group: the greatest score, the sum of
    e^(score - greatest), and that of the values so weighted."""
    group, part, parts = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    stop = tl.load(positions + group // groups).to(tl.int32) + 1
    first = tl.maximum(stop - window, 0) + part * BLOCKS * BLOCK
    row, column = tl.arange(0, ROWS), tl.arange(0, WIDTH)[None, :]
    is_head = (row < R)[:, None] & (column < S)
    query = tl.load(queries + (group * R + row[:, None]) * S + column, mask=is_head, other=0.0)
    greatest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    for block in range(BLOCKS):
        position = first + block * BLOCK + tl.arange(0, BLOCK)
        is_seen = position < stop
        place = (group.to(tl.int64) * room + position[:, None]) * S + column
        is_held = is_seen[:, None] & (column < S)
        key = tl.load(keys + place, mask=is_held, other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        scores = tl.where(is_seen[None, :], scores, float("-inf"))
        higher = tl.maximum(greatest, tl.max(scores, 1))
        held = tl.where(higher == float("-inf"), 0.0, higher)  # nothing seen so far: every weight is 0
        weights, kept = tl.exp(scores - held[:, None]), tl.exp(greatest - held)
        value = tl.load(values + place, mask=is_held, other=0.0)
        found = found * kept[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        total = total * kept + tl.sum(weights, 1)
        greatest = higher
    head = (group * parts + part) * R + row
    tl.store(sums + head[:, None] * S + column, found, mask=is_head)
    tl.store(totals + head, total, mask=row < R)
    tl.store(maxima + head, greatest, mask=row < R)


@triton.jit
def _join_parts(
    sums, totals, maxima, attended, parts,
    R: tl.constexpr, S: tl.constexpr, PARTS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """What one head attends to, from its parts; an empty part has the maximum -inf and weighs nothing."""
    head, part, column = tl.program_id(0), tl.arange(0, PARTS), tl.arange(0, WIDTH)[None, :]
    place = ((head // R) * parts + part) * R + head % R
    maximum = tl.load(maxima + place, mask=part < parts, other=float("-inf"))
    weight = tl.exp(maximum - tl.max(maximum, 0))
    total = tl.sum(tl.load(totals + place, mask=part < parts, other=0.0) * weight, 0)
    is_held = (part < parts)[:, None] & (column < S)
    found = tl.load(sums + place[:, None] * S + column, mask=is_held, other=0.0)
    joined = tl.sum(found * weight[:, None], 0) / total
    column = tl.arange(0, WIDTH)
    tl.store(attended + head * S + column, joined.to(attended.dtype.element_ty), mask=column < S)


@triton.jit
def _write_position(keys, values, key_room, value_room, positions, room, groups, S: tl.constexpr, WIDTH: tl.constexpr):
    group, column = tl.program_id(0), tl.arange(0, WIDTH)
    position = tl.load(positions + group // groups)
    place = (group.to(tl.int64) * room + position) * S + column
    is_held = (column < S) & (position < room)
    tl.store(key_room + place, tl.load(keys + group * S + column, mask=is_held), mask=is_held)
    tl.store(value_room + place, tl.load(values + group * S + column, mask=is_held), mask=is_held)


@triton.jit
def _norm_row(
    states, weights, normed, width, epsilon, FROM_ONE: tl.constexpr, ROUNDS: tl.constexpr, WIDTH: tl.constexpr
):
    """x / sqrt(mean(x^2) + epsilon) times the weight, or one more than it; rounded before that where `ROUNDS`."""
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, WIDTH)
    is_held = column < width
    state = tl.load(states + row * width + column, mask=is_held, other=0.0).to(tl.float32)
    found = state * tl.rsqrt(tl.sum(state * state, 0) / width + epsilon)
    if ROUNDS:
        found = found.to(normed.dtype.element_ty).to(tl.float32)
    weight = tl.load(weights + column, mask=is_held, other=0.0).to(tl.float32)
    found *= (weight + 1.0) if FROM_ONE else weight
    tl.store(normed + row * width + column, found.to(normed.dtype.element_ty), mask=is_held)


@triton.jit
def _rotate_head(
    queries, keys, cosines, sines, turned_queries, turned_keys, query_heads, key_heads, count,
    query_slot, query_head, query_token, key_slot, key_head, key_token, angle_slot,
    S: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """x cos + rotate_half(x) sin of one head of one token, rounded after each product as the families' functions do."""
    token, head = tl.program_id(0), tl.program_id(1)
    slot, place = (token // count).to(tl.int64), token % count
    column = tl.arange(0, WIDTH)
    is_held = column < S // 2
    if head < query_heads:
        source = queries + slot * query_slot + head * query_head + place * query_token
        target = turned_queries + ((slot * query_heads + head) * count + place) * S
    else:
        source = keys + slot * key_slot + (head - query_heads) * key_head + place * key_token
        target = turned_keys + ((slot * key_heads + head - query_heads) * count + place) * S
    angle = slot * angle_slot + place * S
    first = tl.load(source + column, mask=is_held).to(tl.float32)
    second = tl.load(source + S // 2 + column, mask=is_held).to(tl.float32)
    for half in tl.static_range(2):
        cosine = tl.load(cosines + angle + half * (S // 2) + column, mask=is_held).to(tl.float32)
        sine = tl.load(sines + angle + half * (S // 2) + column, mask=is_held).to(tl.float32)
        kept = ((second if half else first) * cosine).to(target.dtype.element_ty).to(tl.float32)
        crossed = ((first if half else -second) * sine).to(target.dtype.element_ty).to(tl.float32)
        tl.store(target + half * (S // 2) + column, (kept + crossed).to(target.dtype.element_ty), mask=is_held)


def attend(
    keys: torch.Tensor,
    values: torch.Tensor,
    positions: torch.Tensor,
    window: int | None,
    query: torch.Tensor,
    scale: float | None,
) -> torch.Tensor:
    """One query a slot [B, G R, 1, S] over keys and values [B, G, L, S], contiguous, up to `positions` [B, 1], of
    which a window shows the last ones; [B, 1, G R, S]."""
    slots, heads, _, size = query.shape
    groups, room = keys.shape[1:3]
    width = max(LEAST, triton.next_power_of_2(size))
    block = min(64, max(LEAST, BLOCK_BYTES // (width * keys.element_size())))
    blocks = triton.cdiv(room, block)
    each = triton.cdiv(blocks, max(1, PROGRAMS // (slots * groups)))
    parts = triton.cdiv(blocks, each)
    sums = query.new_empty(slots * groups * parts, heads // groups, size, dtype=torch.float32)
    totals, maxima = (sums.new_empty(sums.shape[:2]) for _ in range(2))
    attended = query.new_empty(slots, 1, heads, size)
    shape = {"R": heads // groups, "S": size, "WIDTH": width}
    rows = max(LEAST, triton.next_power_of_2(heads // groups))
    found = sums, totals, maxima
    with torch.cuda.device_of(query):
        _attend_to_part[slots * groups, parts](
            query.contiguous(), keys, values, positions, *found, size**-0.5 if scale is None else scale,
            window or NO_WINDOW, room, groups, ROWS=rows, BLOCK=block, BLOCKS=each, num_stages=2, **shape,
        )  # fmt: skip
        _join_parts[slots * heads,](*found, attended, parts, PARTS=triton.next_power_of_2(parts), **shape)
    return attended


def write(
    keys: torch.Tensor, values: torch.Tensor, room: tuple[torch.Tensor, torch.Tensor], positions: torch.Tensor
) -> None:
    """Keys and values [B, G, 1, S] into room [B, G, L, S] each, contiguous, at `positions` [B, 1]."""
    slots, groups, _, size = keys.shape
    with torch.cuda.device_of(keys):
        _write_position[slots * groups,](
            keys.contiguous(), values.contiguous(), *room, positions, room[0].shape[2], groups,
            S=size, WIDTH=triton.next_power_of_2(size),
        )  # fmt: skip


def rms_norm(
    states: torch.Tensor, weight: torch.Tensor, epsilon: float, *, from_one: bool, rounds: bool
) -> torch.Tensor:
    """[..., D] divided by the root of its mean square, times `weight` [D], or one more than it (Gemma); `rounds`: what
    is multiplied is first rounded to the states' precision (Llama)."""
    held, normed = states.contiguous(), torch.empty_like(states, memory_format=torch.contiguous_format)
    width = states.shape[-1]
    with torch.cuda.device_of(states):
        _norm_row[held.numel() // width,](
            held, weight, normed, width, epsilon, FROM_ONE=from_one, ROUNDS=rounds, WIDTH=triton.next_power_of_2(width)
        )
    return normed


def rotate(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads [B, H, n, S] and [B, G, n, S], turned by cos and sin [B or 1, n, S]: x cos + rotate_half(x) sin."""
    query, key = (each if each.stride(-1) == 1 else each.contiguous() for each in (query, key))
    cos, sin = cos.contiguous(), sin.contiguous()
    slots, heads, count, size = query.shape
    turned = query.new_empty(query.shape), key.new_empty(key.shape)
    strides = (*query.stride()[:3], *key.stride()[:3], cos.stride(0) if len(cos) > 1 else 0)
    with torch.cuda.device_of(query):
        _rotate_head[slots * count, heads + key.shape[1]](
            query, key, cos, sin, *turned, heads, key.shape[1], count, *strides,
            S=size, WIDTH=triton.next_power_of_2(size // 2), enable_fp_fusion=False,  # products are rounded first
        )  # fmt: skip
    return turned
