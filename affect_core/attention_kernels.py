"""Attention among few tokens on a GPU: one program has all keys and values of a head at hand (see `attention.attend`).

One pass reads queries, keys and values where the linear layer left them and, backwards, writes their gradient in the
same place; nothing is summed across programs, so the result repeats bit for bit. Importing this module registers the
operators `affect_core::short_attention` and its backward pass; it needs Triton.

Source: the softmax's backward pass from stored log-sums as in Dao et al. 2022 (FlashAttention). The kernels are ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton


@triton.jit
def _forward_kernel(qkv, out, log_sums, tokens, HEADS: tl.constexpr, DIM: tl.constexpr, SCALE: tl.constexpr,
                    ROWS: tl.constexpr, KEYS: tl.constexpr):  # fmt: skip
    image, head = tl.program_id(0) // HEADS, tl.program_id(0) % HEADS
    start_of_image = image.to(tl.int64) * tokens
    packed: tl.constexpr = 3 * HEADS * DIM
    queries = qkv + start_of_image * packed + head * DIM
    channels = tl.arange(0, DIM)[None, :]
    keys, values, known = _keys_and_values(queries, tokens, HEADS, DIM, KEYS)
    for start in range(0, tokens, ROWS):
        row = start + tl.arange(0, ROWS)
        here = row < tokens
        query = tl.load(queries + row[:, None] * packed + channels, mask=here[:, None], other=0.0)
        logits = tl.dot(query, tl.trans(keys)) * (SCALE * 1.4426950408889634)  # (ROWS, KEYS), base 2
        logits = tl.where(known[None, :], logits, float("-inf"))
        largest = tl.max(logits, 1)
        weights = tl.exp2(logits - largest[:, None])
        total = tl.sum(weights, 1)
        answer = tl.dot(weights.to(values.dtype), values) / total[:, None]
        place = out + (start_of_image + row)[:, None] * (HEADS * DIM) + head * DIM + channels
        tl.store(place, answer.to(out.dtype.element_ty), mask=here[:, None])
        tl.store(log_sums + (start_of_image * HEADS + head * tokens) + row, largest + tl.log2(total), mask=here)


@triton.jit
def _backward_kernel(grad_out, qkv, out, log_sums, grad, tokens, HEADS: tl.constexpr, DIM: tl.constexpr,
                     SCALE: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr):  # fmt: skip
    image, head = tl.program_id(0) // HEADS, tl.program_id(0) % HEADS
    start_of_image = image.to(tl.int64) * tokens
    packed: tl.constexpr = 3 * HEADS * DIM
    channels = tl.arange(0, DIM)[None, :]
    queries, grads = qkv + start_of_image * packed + head * DIM, grad + start_of_image * packed + head * DIM
    keys, values, known = _keys_and_values(queries, tokens, HEADS, DIM, KEYS)
    of_keys, of_values = tl.zeros([KEYS, DIM], tl.float32), tl.zeros([KEYS, DIM], tl.float32)
    for start in range(0, tokens, ROWS):
        row = start + tl.arange(0, ROWS)
        here = (row < tokens)[:, None]
        query = tl.load(queries + row[:, None] * packed + channels, mask=here, other=0.0)
        place = (start_of_image + row)[:, None] * (HEADS * DIM) + head * DIM + channels
        of_answer = tl.load(grad_out + place, mask=here, other=0.0)
        answer = tl.load(out + place, mask=here, other=0.0)
        log_sum = tl.load(log_sums + (start_of_image * HEADS + head * tokens) + row, mask=row < tokens, other=0.0)
        common = tl.sum(of_answer.to(tl.float32) * answer.to(tl.float32), 1)
        logits = tl.dot(keys, tl.trans(query)) * (SCALE * 1.4426950408889634)  # (KEYS, ROWS), base 2
        weights = tl.where(known[:, None], tl.exp2(logits - log_sum[None, :]), 0.0)
        of_values = tl.dot(weights.to(values.dtype), of_answer, of_values)
        of_scores = weights * (tl.dot(values, tl.trans(of_answer)) - common[None, :])
        of_scores = of_scores.to(keys.dtype)
        of_keys = tl.dot(of_scores, query, of_keys)
        of_query = tl.dot(tl.trans(of_scores), keys) * SCALE
        tl.store(grads + row[:, None] * packed + channels, of_query.to(grad.dtype.element_ty), mask=here)
    token = tl.arange(0, KEYS)
    places = grads + token[:, None] * packed + channels
    tl.store(places + HEADS * DIM, (of_keys * SCALE).to(grad.dtype.element_ty), mask=known[:, None])
    tl.store(places + 2 * HEADS * DIM, of_values.to(grad.dtype.element_ty), mask=known[:, None])


@triton.jit
def _keys_and_values(queries, tokens, HEADS: tl.constexpr, DIM: tl.constexpr, COUNT: tl.constexpr):
    """The keys and values that lie behind the queries, (COUNT, DIM), and which of them there are, (COUNT,)."""
    token = tl.arange(0, COUNT)
    known = token < tokens
    places = queries + token[:, None] * (3 * HEADS * DIM) + tl.arange(0, DIM)[None, :]
    keys = tl.load(places + HEADS * DIM, mask=known[:, None], other=0.0)
    values = tl.load(places + 2 * HEADS * DIM, mask=known[:, None], other=0.0)
    return keys, values, known


class Launch(NamedTuple):
    """How a kernel runs: queries at a time, warps of a program, stages of its loop."""

    rows: int
    warps: int
    stages: int


FORWARD = {64: Launch(64, 4, 1), 256: Launch(64, 4, 2)}
BACKWARD = {64: Launch(64, 4, 1), 128: Launch(32, 4, 2), 256: Launch(64, 8, 1)}
"""By the most tokens it is for; chosen on an H100 for ViT-B's 50 and 197 tokens (`benchmarks/NOTES.md`)."""


def sizes(tokens: int, heads: int, packed: int, launches: dict[int, Launch]) -> dict[str, Any]:
    """The keywords of a launch: all keys at once, in a power of two."""
    launch = next(launch for most, launch in launches.items() if tokens <= most)
    keys, dim = max(16, triton.next_power_of_2(tokens)), packed // (3 * heads)
    return {"HEADS": heads, "DIM": dim, "SCALE": dim**-0.5, "ROWS": min(keys, launch.rows), "KEYS": keys,
            "num_warps": launch.warps, "num_stages": launch.stages}  # fmt: skip


@triton_op("affect_core::short_attention", mutates_args={})
def _attend(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """(N, T, 3 * heads * d) -> (N, T, heads * d), and the log2 of each query's softmax sum, (N, heads, T)."""
    qkv = qkv.contiguous()
    n, tokens, packed = qkv.shape[0], int(qkv.shape[1]), qkv.shape[2]  # int: the launch depends on it
    out = qkv.new_empty(n, tokens, packed // 3)
    log_sums = qkv.new_empty(n, heads, tokens, dtype=torch.float32)
    wrap_triton(_forward_kernel)[(n * heads,)](qkv, out, log_sums, tokens, **sizes(tokens, heads, packed, FORWARD))
    return out, log_sums


@triton_op("affect_core::short_attention_backward", mutates_args={})
def _attend_backward(grad_out: Tensor, qkv: Tensor, out: Tensor, log_sums: Tensor, heads: int) -> Tensor:
    """The gradient of qkv, in its shape."""
    grad_out, qkv = grad_out.contiguous(), qkv.contiguous()
    n, tokens, packed = qkv.shape[0], int(qkv.shape[1]), qkv.shape[2]
    grad = torch.empty_like(qkv)
    wrap_triton(_backward_kernel)[(n * heads,)](
        grad_out, qkv, out, log_sums, grad, tokens, **sizes(tokens, heads, packed, BACKWARD)
    )
    return grad


def _keep(ctx, inputs, output) -> None:
    qkv, heads = inputs
    ctx.save_for_backward(qkv, *output)
    ctx.heads = heads


def _gradient(ctx, grad_out: Tensor, _) -> tuple[Tensor, None]:
    return torch.ops.affect_core.short_attention_backward(grad_out, *ctx.saved_tensors, ctx.heads), None


_attend.register_autograd(_gradient, setup_context=_keep)
