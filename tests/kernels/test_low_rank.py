from typing import Any

import pytest
import torch
from kernel_testing import ACTIVATIONS, FORMATS, Guarded, assert_close, normal, packed
from torch import Tensor

from kernels.low_rank import LowRank, bytes_moved, low_rank
from kernels.packed import BlockFormat, Weight, WeightFormat
from kernels.reference.low_rank import low_rank as oracle

FEW, MANY = (1, 5), (17,)  # tokens: the two forms of the kernel


def make_weight(rows: int, columns: int, weight_format: WeightFormat, seed: int) -> Weight:
    if isinstance(weight_format, BlockFormat):
        return packed((rows, columns), weight_format, seed)
    return normal((rows, columns), weight_format, seed)


def make_branch(width: int, rank: int, formats: tuple[WeightFormat, WeightFormat], biased: bool = True) -> LowRank:
    down, up = formats
    bias = normal((width,), seed=rank + 2) if biased else None
    return LowRank(make_weight(rank, width, down, rank), make_weight(width, rank, up, rank + 1), bias)


def check(tokens: int, width: int, branches: list[LowRank], dtype: torch.dtype, guarded: Guarded) -> None:
    count = len(branches)
    x = normal((count, tokens, width), dtype) / 8
    matrices = [*branches, *[None] * (4 - count)]
    hidden = guarded((tokens, sum(branch.down.shape[0] for branch in branches)), dtype)
    outputs: list[Tensor | None] = [guarded((tokens, width), torch.float32)]
    outputs += [guarded((tokens, width), dtype) for _ in range(count - 1)] + [None] * (4 - count)
    expected = [None if out is None else torch.empty_like(out, dtype=torch.float32) for out in outputs]
    arguments: Any = x, *matrices
    oracle(*arguments, hidden.clone(), *expected)  # type: ignore[arg-type]
    assert low_rank(*arguments, hidden, *outputs) is outputs[0]  # type: ignore[arg-type]
    for mine, theirs in zip(outputs, expected, strict=True):
        if mine is not None and theirs is not None:
            assert_close(mine, theirs, dtype)


def rwkv(width: int, weight_format: WeightFormat) -> list[LowRank]:
    ranks = (64, 32, 96, 32)
    return [make_branch(width, rank, (weight_format,) * 2, biased=rank != 96) for rank in ranks]


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("tokens", FEW + MANY)
def test_dense(tokens: int, dtype: torch.dtype, guarded: Guarded) -> None:
    check(tokens, 96, rwkv(96, dtype), dtype, guarded)


@pytest.mark.parametrize("block_format", FORMATS)
@pytest.mark.parametrize("tokens", [1, *MANY])
def test_packed(tokens: int, block_format: BlockFormat, guarded: Guarded) -> None:
    check(tokens, 64, rwkv(64, block_format), torch.float32, guarded)


@pytest.mark.parametrize("tokens", FEW + MANY)
def test_formats_of_their_own(tokens: int, guarded: Guarded) -> None:
    f16, f32, q4, q8 = torch.float16, torch.float32, BlockFormat.Q4_1, BlockFormat.Q8_0
    pairs = [(f32, q4), (q8, f16), (q4, q8), (f16, f16)]
    check(tokens, 64, [make_branch(64, 32 * i + 32, pair) for i, pair in enumerate(pairs)], f32, guarded)


@pytest.mark.parametrize("tokens", FEW + MANY)
@pytest.mark.parametrize(("width", "ranks"), [(80, (1, 7, 33)), (75, (20, 5, 48)), (64, (16, 8, 24))])
@pytest.mark.parametrize("dtype", ACTIVATIONS)
def test_odd_shapes_of_a_first_layer(
    tokens: int, width: int, ranks: tuple[int, ...], dtype: torch.dtype, guarded: Guarded
) -> None:
    check(tokens, width, [make_branch(width, rank, (dtype,) * 2) for rank in ranks], dtype, guarded)


def test_a_wrong_argument_is_named() -> None:
    x, out, branch = normal((3, 2, 32)), normal((2, 32)), make_branch(32, 8, (torch.float32,) * 2)
    outputs = [normal((2, 24)), out, out, out]
    with pytest.raises(ValueError, match=r"^nu"):
        low_rank(x, branch, branch, branch, None, *outputs, out)
    with pytest.raises(ValueError, match=r"^hidden"):
        low_rank(x, branch, branch, branch, None, out, *outputs[1:], None)
    with pytest.raises(ValueError, match=r"^rate\.up"):
        low_rank(x, branch, branch._replace(up=branch.down), branch, None, *outputs, None)
    with pytest.raises(ValueError, match=r"^gate\.bias"):
        low_rank(x, branch, branch, branch._replace(bias=out[0, :8]), None, *outputs, None)
    with pytest.raises(ValueError, match=r"^x"):
        low_rank(x[:2], branch, branch, branch, None, *outputs, None)


def test_bytes_moved_are_those_of_the_tensors() -> None:
    x, hidden, out = (normal(shape, torch.float16) for shape in [(4, 3, 64), (3, 224), (3, 64)])
    weights = [tensor for branch in rwkv(64, BlockFormat.Q4_1) for tensor in branch if tensor is not None]
    moved = sum(tensor.nbytes for tensor in (x, hidden, hidden, out, out, out, out.float(), *weights))
    assert bytes_moved(3, 64, [64, 32, 96, 32], BlockFormat.Q4_1, torch.float16) == moved
