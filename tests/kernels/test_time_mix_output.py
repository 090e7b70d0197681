import pytest
import torch
from kernel_testing import ACTIVATIONS, Guarded, assert_close, normal
from torch import Tensor

from kernels.reference.time_mix_output import time_mix_output as oracle
from kernels.time_mix_output import bytes_moved, time_mix_output

EPS = 64e-5


def arguments(tokens: int, heads: int, head_size: int, dtype: torch.dtype) -> list[Tensor]:
    width = heads * head_size
    activations = [normal((tokens, width), dtype, seed) for seed in range(4)]
    vectors = [normal((width,), seed=4), normal((width,), seed=5), normal((heads, head_size), seed=6)]
    return [normal((tokens, heads, head_size), seed=7), *activations, *vectors]


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1, 1, 16), (3, 5, 32), (2, 3, 64), (1, 2, 128)])
def test_equals_oracle(shape: tuple[int, int, int], dtype: torch.dtype, guarded: Guarded) -> None:
    inputs = arguments(*shape, dtype)
    out = guarded(inputs[1].shape, dtype)
    expected = oracle(*inputs, EPS, torch.empty_like(out))
    assert time_mix_output(*inputs, EPS, out) is out
    assert_close(out, expected, dtype)


def test_an_output_of_zeros_is_the_bias(guarded: Guarded) -> None:
    inputs = arguments(1, 2, 16, torch.float32)
    bias = inputs[6]
    zeros, ones = torch.zeros_like(inputs[1]), torch.ones_like(inputs[1])
    inputs[:5] = [torch.zeros_like(inputs[0]), zeros, zeros, zeros, ones]
    assert torch.equal(time_mix_output(*inputs, EPS, guarded((1, 32), torch.float32))[0], bias)


@pytest.mark.parametrize(("index", "name"), [(0, "y"), (3, "v"), (5, "weight"), (7, "r_k")])
def test_a_wrong_argument_is_named(index: int, name: str) -> None:
    inputs = arguments(2, 2, 16, torch.float32)
    inputs[index] = inputs[index].double()
    with pytest.raises(ValueError, match=f"^{name}: "):
        time_mix_output(*inputs, EPS, torch.empty_like(inputs[1]))


def test_bytes_moved_are_those_of_the_tensors() -> None:
    inputs = arguments(3, 2, 16, torch.float16)
    assert bytes_moved(3, 32, torch.float16) == sum(tensor.nbytes for tensor in inputs) + inputs[4].nbytes
