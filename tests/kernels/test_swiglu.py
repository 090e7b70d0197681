import pytest
import torch
from kernel_testing import ACTIVATIONS, FORMATS, Guarded, assert_close, normal, packed

from kernels.packed import BlockFormat, Weight
from kernels.reference.swiglu import swiglu as oracle
from kernels.swiglu import swiglu


def check(x: torch.Tensor, gate: Weight, up: Weight, guarded: Guarded) -> None:
    out = guarded((x.shape[0], gate.shape[0]), x.dtype)
    expected = oracle(x, gate, up, torch.empty_like(out, dtype=torch.float32))
    assert_close(swiglu(x, gate, up, out), expected, x.dtype)


@pytest.mark.parametrize("block_format", FORMATS)
@pytest.mark.parametrize("tokens", [1, 5, 20])
def test_packed(tokens: int, block_format: BlockFormat, guarded: Guarded) -> None:
    gate, up = (packed((70, 96), block_format, seed) for seed in (1, 2))
    check(normal((tokens, 96)) / 10, gate, up, guarded)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("tokens", [2, 9])
def test_dense_with_odd_shapes(tokens: int, dtype: torch.dtype, guarded: Guarded) -> None:
    gate, up = (normal((67, 75), dtype, seed) for seed in (1, 2))
    check(normal((tokens, 75), dtype) / 8, gate, up, guarded)


@pytest.mark.parametrize("tokens", [1, 9])
def test_weights_of_two_formats(tokens: int, guarded: Guarded) -> None:
    check(normal((tokens, 64)) / 8, packed((40, 64), BlockFormat.Q4_1), normal((40, 64), seed=1), guarded)
