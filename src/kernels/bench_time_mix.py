"""The calls that kernels.bench measures around the recurrence of an RWKV-7 layer: the shapes of its 0.1B model."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from kernels import layer_norm, low_rank, time_mix_output, token_shift, wkv7_inputs
from kernels.bench_cases import DEVICE, Case, cold_copies, format_name, normal, random_weight, same, twice
from kernels.ops import Ops
from kernels.packed import BlockFormat, LowRank, WeightFormat, dequantize, weight_bytes

WIDTH, HEADS, HEAD_SIZE = 768, 12, 64
RANKS = [64, 64, 128, 32]  # of the decay, the rate, the gate and the value
MIXES = 7
TOKENS = (1, 32, 512)


def add_layer_norm_cases(act: torch.dtype) -> Iterator[Case]:
    def call(x: Tensor, residual: Tensor, out: Tensor, ops: Ops) -> Tensor:
        return ops.add_layer_norm(x, scale, bias, 1e-5, out, residual)

    scale, bias = normal(WIDTH), normal(WIDTH)
    for tokens in TOKENS:
        x = torch.zeros(tokens, WIDTH, dtype=act, device=DEVICE)  # the residual stays what it is
        yield Case(
            "add_layer_norm",
            f"{tokens}x{WIDTH}",
            *twice(partial(call, x, normal(tokens, WIDTH)), x),
            layer_norm.bytes_moved(tokens, WIDTH, act, residual=True),
            layer_norm.flops(tokens, WIDTH, residual=True),
        )


def token_shift_cases(act: torch.dtype) -> Iterator[Case]:
    def call(x: Tensor, length: int, out: Tensor, ops: Ops) -> Tensor:
        tokens = len(x)
        ends = torch.arange(0, tokens + 1, length, dtype=torch.int32, device=DEVICE)
        sequence_ids = torch.arange(tokens, dtype=torch.int32, device=DEVICE) // length
        count = tokens // length
        rows = same(-1, count, torch.int32), same(1 - length, count, torch.int32)
        state = normal(count, 1, WIDTH)
        return ops.token_shift(x, mixes, state, ends[:-1] // length, ends, sequence_ids, *rows, out)

    mixes = normal(MIXES, WIDTH)
    for sequences, length in [(1, 1), (32, 1), (1, 512)]:
        tokens = sequences * length
        yield Case(
            "token_shift",
            f"{sequences} x {length} tokens, {MIXES} mixes",
            *twice(partial(call, normal(tokens, WIDTH, dtype=act), length), normal(MIXES, tokens, WIDTH, dtype=act)),
            token_shift.bytes_moved(tokens, sequences, WIDTH, MIXES, act),
            token_shift.flops(tokens, WIDTH, MIXES),
        )


def random_branches(weight_format: WeightFormat) -> list[LowRank]:
    return [
        LowRank(random_weight(rank, WIDTH, weight_format), random_weight(WIDTH, rank, weight_format), normal(WIDTH))
        for rank in RANKS
    ]


def dense_branch(branch: LowRank) -> LowRank:
    down, up = (
        weight.float() if isinstance(weight, Tensor) else dequantize(weight) for weight in (branch.down, branch.up)
    )
    return LowRank(down, up, branch.bias)


def low_rank_cases(act: torch.dtype) -> Iterator[Case]:
    def call(x: Tensor, branches: list[LowRank], ops: Ops) -> Tensor:
        decay, rate, gate, value = branches
        log_w, hidden = torch.empty(x.shape[1:], device=DEVICE), x.new_empty(x.shape[1], sum(RANKS))
        return ops.low_rank(x, decay, rate, gate, value, hidden, log_w, *torch.empty_like(x[:3]))

    for weight_format in (act, BlockFormat.Q8_0):
        copies = cold_copies(2 * weight_bytes(sum(RANKS), WIDTH, weight_format))
        layers = [random_branches(weight_format) for _ in range(copies)]
        dense = [[dense_branch(branch) for branch in layer] for layer in layers]
        for tokens in TOKENS:
            x = normal(4, tokens, WIDTH, dtype=act) / 100  # sigmoids of numbers that a model has
            yield Case(
                "low_rank",
                f"{format_name(weight_format)} {tokens}x{WIDTH}",
                [partial(call, x, layer) for layer in layers],
                [partial(call, x, layer) for layer in dense],
                low_rank.bytes_moved(tokens, WIDTH, RANKS, weight_format, act),
                low_rank.flops(tokens, WIDTH, RANKS),
            )


def wkv7_inputs_cases(act: torch.dtype) -> Iterator[Case]:
    def call(inputs: tuple[Tensor, ...], k_out: Tensor, ops: Ops) -> Tensor:
        k, v, alpha, nu, v_first = inputs
        return ops.wkv7_inputs(k, v, alpha, nu, v_first, k_k, k_a, HEAD_SIZE, k_out, *torch.empty_like(rest))

    k_k, k_a = normal(WIDTH), normal(WIDTH)
    for tokens in TOKENS:
        inputs = tuple(normal(tokens, WIDTH, dtype=act) for _ in range(5))
        rest = torch.empty(3, tokens, WIDTH, dtype=act, device=DEVICE)
        yield Case(
            "wkv7_inputs",
            f"{tokens}x{WIDTH}",
            *twice(partial(call, inputs), inputs[0]),
            wkv7_inputs.bytes_moved(tokens, WIDTH, act),
            wkv7_inputs.flops(tokens, WIDTH),
        )


def time_mix_output_cases(act: torch.dtype) -> Iterator[Case]:
    def call(y: Tensor, inputs: tuple[Tensor, ...], out: Tensor, ops: Ops) -> Tensor:
        r, k, v, g = inputs
        return ops.time_mix_output(y, r, k, v, g, scale, bias, r_k, 64e-5, out)

    scale, bias, r_k = normal(WIDTH), normal(WIDTH), normal(HEADS, HEAD_SIZE)
    for tokens in TOKENS:
        inputs = tuple(normal(tokens, WIDTH, dtype=act) for _ in range(4))
        yield Case(
            "time_mix_output",
            f"{tokens}x{WIDTH}",
            *twice(partial(call, normal(tokens, HEADS, HEAD_SIZE), inputs), inputs[0]),
            time_mix_output.bytes_moved(tokens, WIDTH, act),
            time_mix_output.flops(tokens, WIDTH),
        )


TIME_MIX_CASES: dict[str, Callable[[torch.dtype], Iterator[Case]]] = {
    "add_layer_norm": add_layer_norm_cases,
    "token_shift": token_shift_cases,
    "low_rank": low_rank_cases,
    "wkv7_inputs": wkv7_inputs_cases,
    "time_mix_output": time_mix_output_cases,
}
