"""The calls that kernels.bench measures of RWKV-7: the shapes of its 0.1B model."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from kernels import wkv7, wkv7_chunked, wkv7_delayed
from kernels.bench_cases import DEVICE, Case, cold_copies, normal, same, twice
from kernels.ops import Ops
from kernels.targets import target_of
from kernels.wkv7_arguments import DIRECT

HEADS, HEAD_SIZE = 12, 64
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
LOG_SIZE = 8  # entries of a log, half of which are there


def recurrence_inputs(tokens: int, act: torch.dtype) -> Inputs:
    """r, log_w, k, v, a, b as a trained model has them."""
    r, k, v, direction, rate, decay = (normal(tokens, HEADS, HEAD_SIZE) for _ in range(6))
    kappa = torch.nn.functional.normalize(direction, dim=-1)
    a, b = -kappa, kappa * rate.sigmoid()
    return r.to(act), -0.6065 * decay.sigmoid(), k.to(act), v.to(act), a.to(act), b.to(act)


def states(sequences: int) -> Tensor:
    return normal(sequences, HEADS, HEAD_SIZE, HEAD_SIZE)


def places(sequences: int, queries: int) -> tuple[Tensor, Tensor]:
    """slots and cu_seqlens."""
    steps = torch.arange(sequences + 1, dtype=torch.int32, device=DEVICE)
    return steps[:-1].flip(0).contiguous(), queries * steps


def wkv7_cases(act: torch.dtype) -> Iterator[Case]:
    def call(inputs: Inputs, where: tuple[Tensor, Tensor], longest: int, state: Tensor, ops: Ops) -> Tensor:
        out = torch.empty_like(inputs[1])
        return ops.wkv7(*inputs, state, *where, same(DIRECT, len(state), torch.int32), out, longest)

    def call_chunked(inputs: Inputs, where: tuple[Tensor, Tensor], state: Tensor, ops: Ops) -> Tensor:
        out, modes = torch.empty_like(inputs[1]), same(DIRECT, len(state), torch.int32)
        return wkv7_chunked.wkv7_chunked(*inputs, state, *where, modes, out, 0)

    for sequences, queries in [(1, 1), (8, 1), (64, 1), (8, 64), (1, 512)]:
        inputs, where = recurrence_inputs(sequences * queries, act), places(sequences, queries)
        first, lens = states(sequences), [queries] * sequences
        copies = cold_copies(first.nbytes) if queries == 1 else 1  # a prefill spends its time on tokens
        shape = f"{sequences} x {queries} tokens"
        moved = wkv7.bytes_moved(lens, HEADS, HEAD_SIZE, act)
        yield Case(
            "wkv7",
            shape,
            [partial(call, inputs, where, queries, first.clone()) for _ in range(copies)],
            [partial(call, inputs, where, queries, first.clone()) for _ in range(copies)],
            moved,
            wkv7.flops(lens, HEADS, HEAD_SIZE),
        )
        if queries > 1:
            yield Case(
                "wkv7_chunked",
                shape,
                [partial(call_chunked, inputs, where, first.clone())],
                [partial(call, inputs, where, queries, first.clone())],
                moved,
                wkv7_chunked.flops(lens, HEADS, HEAD_SIZE, wkv7_chunked.META[target_of(DEVICE)].chunk),
            )


def wkv7_delayed_cases(act: torch.dtype) -> Iterator[Case]:
    def call(inputs: Inputs, where: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor], ops: Ops) -> Tensor:
        log_lens = same(LOG_SIZE // 2, len(memory[0]), torch.int32)
        return ops.wkv7_delayed(*inputs, *memory, *where, log_lens, torch.empty_like(inputs[1]))

    for sequences, queries in [(1, 1), (8, 1), (64, 1), (1, 4)]:
        inputs, where = recurrence_inputs(sequences * queries, act), places(sequences, queries)
        log, first = random_log(sequences), states(sequences)
        copies = cold_copies(first.nbytes + log.nbytes)
        sizes = [queries] * sequences, [LOG_SIZE // 2] * sequences
        yield Case(
            "wkv7_delayed",
            f"{sequences} x {queries} tokens, log of {LOG_SIZE // 2}",
            [partial(call, inputs, where, (first.clone(), log.clone())) for _ in range(copies)],
            [partial(call, inputs, where, (first.clone(), log.clone())) for _ in range(copies)],
            wkv7_delayed.bytes_moved(*sizes, HEADS, HEAD_SIZE, act),
            wkv7_delayed.flops(*sizes, HEADS, HEAD_SIZE),
        )


def wkv7_fold_cases(act: torch.dtype) -> Iterator[Case]:
    def call(log: Tensor, state: Tensor, ops: Ops) -> Tensor:
        sequences = len(state)
        slots = torch.arange(sequences, dtype=torch.int32, device=DEVICE)
        return ops.wkv7_fold(state, log, slots, same(LOG_SIZE, sequences, torch.int32))

    for sequences in (1, 8, 64):
        lens = [LOG_SIZE] * sequences
        yield Case(
            "wkv7_fold",
            f"{sequences} x {LOG_SIZE} entries",
            *twice(partial(call, random_log(sequences)), states(sequences)),
            wkv7_delayed.fold_bytes_moved(lens, HEADS, HEAD_SIZE),
            wkv7_delayed.fold_flops(lens, HEADS, HEAD_SIZE),
        )


def random_log(sequences: int) -> Tensor:
    entries = recurrence_inputs(sequences * LOG_SIZE, torch.float32)[1:]
    return torch.stack(entries, dim=1).view(sequences, LOG_SIZE, 5, HEADS, HEAD_SIZE)


RWKV7_CASES: dict[str, Callable[[torch.dtype], Iterator[Case]]] = {
    "wkv7, wkv7_chunked": wkv7_cases,
    "wkv7_delayed": wkv7_delayed_cases,
    "wkv7_fold": wkv7_fold_cases,
}
