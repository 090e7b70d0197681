"""The calls that kernels.bench measures on logits: masks, penalties, log-probabilities, tokens."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from kernels import adjust_logits, log_probs, mask_logits, sample, top_log_probs
from kernels import argmax as greedy
from kernels.bench_cases import DEVICE, VOCABULARY, Case, normal, same, twice
from kernels.filters import FILTERS
from kernels.ops import Ops


def mask_logits_cases(act: torch.dtype) -> Iterator[Case]:
    def call(bitmask: Tensor, rows: Tensor, logits: Tensor, ops: Ops) -> Tensor:
        ops.mask_logits(logits, bitmask, rows)
        return logits

    for count in (1, 8):
        bitmask = torch.randint(-(2**31), 2**31, (count, VOCABULARY // 32), dtype=torch.int32).to(DEVICE)
        rows = torch.arange(count, dtype=torch.int32, device=DEVICE)
        yield Case(
            "mask_logits",
            f"{count}x{VOCABULARY}, half allowed",
            *twice(partial(call, bitmask, rows), normal(count, VOCABULARY)),
            mask_logits.bytes_moved(count, VOCABULARY, forbidden=count * VOCABULARY // 2),
            mask_logits.flops(count, VOCABULARY),
        )


def adjust_logits_cases(act: torch.dtype) -> Iterator[Case]:
    def call(rows: Tensor, tokens: Tensor, factors: Tensor, offsets: Tensor, logits: Tensor, ops: Ops) -> Tensor:
        ops.adjust_logits(logits, rows, tokens, factors, offsets)
        return logits

    for count, seen in [(1, 200), (16, 1000)]:  # rows, and the tokens that each has seen
        rows = torch.arange(count, dtype=torch.int32).repeat_interleave(seen).to(DEVICE)
        tokens = torch.rand(count, VOCABULARY).argsort(dim=1)[:, :seen].int().flatten().to(DEVICE)
        factors, offsets = same(1.0, len(rows)), same(0.0, len(rows))  # the logits stay what they are
        yield Case(
            "adjust_logits",
            f"{count}x{VOCABULARY}, {seen} seen",
            *twice(partial(call, rows, tokens, factors, offsets), normal(count, VOCABULARY)),
            adjust_logits.bytes_moved(len(rows)),
            adjust_logits.flops(len(rows)),
        )


def log_probs_cases(act: torch.dtype) -> Iterator[Case]:
    def call(logits: Tensor, targets: Tensor, is_best: Tensor, out: Tensor, ops: Ops) -> Tensor:
        return ops.log_probs(logits, targets, out, is_best)

    for rows in (8, 128):
        targets = torch.randint(0, VOCABULARY, (rows,), dtype=torch.int32).to(DEVICE)
        yield Case(
            "log_probs",
            f"{rows}x{VOCABULARY}",
            *twice(partial(call, 3 * normal(rows, VOCABULARY), targets, targets.clone()), normal(rows)),
            log_probs.bytes_moved(rows, VOCABULARY),
            log_probs.flops(rows, VOCABULARY),
        )


def top_log_probs_cases(act: torch.dtype) -> Iterator[Case]:
    def call(logits: Tensor, tokens: Tensor, out: Tensor, ops: Ops) -> Tensor:
        return ops.top_log_probs(logits, tokens, out)

    for rows, k in [(1, 5), (1, 20), (16, 20)]:
        tokens = torch.empty(rows, k, dtype=torch.int32, device=DEVICE)
        yield Case(
            "top_log_probs",
            f"{rows}x{VOCABULARY}, top {k}",
            *twice(partial(call, 3 * normal(rows, VOCABULARY), tokens), normal(rows, k)),
            top_log_probs.bytes_moved(rows, VOCABULARY, k),
            top_log_probs.flops(rows, VOCABULARY),
        )


def token_cases(act: torch.dtype) -> Iterator[Case]:
    """argmax and sample."""

    def argmax_call(logits: Tensor, out: Tensor, ops: Ops) -> Tensor:
        return ops.argmax(logits, out)

    def sample_call(
        logits: Tensor, top_k: Tensor, top_p: Tensor, order: tuple[str, ...], out: Tensor, ops: Ops
    ) -> Tensor:
        rows = len(logits)
        rest = same(0.0, rows), torch.arange(rows, device=DEVICE), same(0, rows, torch.int32)
        return ops.sample(logits, same(0.8, rows), top_k, top_p, *rest, out, order)

    filters_first = FILTERS[1:] + FILTERS[:1]
    for rows in (1, 8):
        logits, out = 3 * normal(rows, VOCABULARY), same(0, rows, torch.int32)
        few = torch.full_like(logits, float("-inf"))
        few[:, :: VOCABULARY // 32] = logits[:, :: VOCABULARY // 32]
        moved, done = greedy.bytes_moved(rows, VOCABULARY), greedy.flops(rows, VOCABULARY)
        yield Case("argmax", f"{rows}x{VOCABULARY}", *twice(partial(argmax_call, logits), out), moved, done)
        for top_k, top_p, order, remark, values in [
            (0, 1.0, FILTERS, "", logits),
            (40, 1.0, FILTERS, "", logits),
            (0, 0.95, FILTERS, "", logits),
            (40, 0.95, FILTERS, "", logits),
            (40, 0.95, filters_first, " first", logits),
            (0, 1.0, FILTERS, ", few", few),
            (40, 0.95, FILTERS, ", few", few),
        ]:
            call = partial(sample_call, values, same(top_k, rows, torch.int32), same(top_p, rows), order)
            yield Case(
                "sample",
                f"{rows}x{VOCABULARY}, top_k {top_k}, top_p {top_p}{remark}",
                *twice(call, out),
                sample.bytes_moved(rows, VOCABULARY),
                sample.flops(rows, VOCABULARY),
            )


LOGITS_CASES: dict[str, Callable[[torch.dtype], Iterator[Case]]] = {
    "mask_logits": mask_logits_cases,
    "adjust_logits": adjust_logits_cases,
    "log_probs": log_probs_cases,
    "top_log_probs": top_log_probs_cases,
    "argmax, sample": token_cases,
}
