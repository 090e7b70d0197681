import pytest
import torch
from kernel_testing import ACTIVATIONS, FORMATS, Guarded, assert_close, normal, packed

from kernels.linear import bytes_moved, linear
from kernels.packed import BlockFormat, Weight, WeightFormat
from kernels.reference.linear import linear as oracle

FEW, MANY = (1, 3, 8), (9, 150)  # rows of x: the two forms of the kernel


def make_weight(rows: int, columns: int, weight_format: WeightFormat) -> Weight:
    if isinstance(weight_format, BlockFormat):
        return packed((rows, columns), weight_format, seed=1)
    return normal((rows, columns), weight_format, seed=1)


def check(x: torch.Tensor, weight: Weight, guarded: Guarded, bias: torch.Tensor | None = None) -> None:
    out = guarded((x.shape[0], weight.shape[0]), x.dtype)
    expected = oracle(x, weight, torch.empty_like(out, dtype=torch.float32), bias)
    assert linear(x, weight, out, bias) is out
    assert_close(out, expected, x.dtype)


@pytest.mark.parametrize("weight_format", [torch.float32, *FORMATS])
@pytest.mark.parametrize("tokens", FEW + MANY)
def test_every_format(tokens: int, weight_format: WeightFormat, guarded: Guarded) -> None:
    check(normal((tokens, 96)), make_weight(77, 96, weight_format), guarded)


@pytest.mark.parametrize("weight_format", [torch.bfloat16, BlockFormat.Q4_1])
@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("tokens", [2, 20])
def test_every_activation(tokens: int, dtype: torch.dtype, weight_format: WeightFormat, guarded: Guarded) -> None:
    if weight_format is torch.bfloat16:
        weight_format = dtype
    check(normal((tokens, 160), dtype), make_weight(70, 160, weight_format), guarded)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("tokens", [1, 16, 40])
def test_whole_steps(tokens: int, dtype: torch.dtype, guarded: Guarded) -> None:
    check(normal((tokens, 256), dtype), normal((70, 256), dtype, seed=1), guarded)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 33), (12, 1, 70), (12, 65, 7)])
def test_odd_shapes_with_bias(shape: tuple[int, int, int], guarded: Guarded) -> None:
    tokens, rows, columns = shape
    check(normal((tokens, columns)), normal((rows, columns), seed=1), guarded, bias=normal((rows,), seed=2))


@pytest.mark.parametrize("weight_format", [torch.float32, BlockFormat.Q8_0])
@pytest.mark.parametrize("tokens", [2, 20])
def test_relu_squared(tokens: int, weight_format: WeightFormat, guarded: Guarded) -> None:
    x, weight, bias = normal((tokens, 96)) / 8, make_weight(45, 96, weight_format), normal((45,), seed=2)
    out = linear(x, weight, guarded((tokens, 45), torch.float32), bias, "relu_squared")
    product = oracle(x, weight, torch.empty_like(out), bias)
    assert_close(out, product.clamp(min=0) ** 2, torch.float32)
    assert torch.equal(oracle(x, weight, torch.empty_like(out), bias, "relu_squared"), product.clamp(min=0) ** 2)


@pytest.mark.parametrize("weight_format", [torch.float32, BlockFormat.Q4_1])
def test_a_few_rows_do_not_depend_on_each_other(weight_format: WeightFormat, guarded: Guarded) -> None:
    x, weight = normal((8, 96)), make_weight(45, 96, weight_format)
    together = linear(x, weight, guarded((8, 45), torch.float32))
    for t in (0, 7):
        assert torch.equal(linear(x[t : t + 1], weight, guarded((1, 45), torch.float32))[0], together[t])


def test_f32_logits_of_rounded_activations(guarded: Guarded) -> None:
    x, weight = normal((2, 64), torch.float16), packed((40, 64), BlockFormat.Q8_0)
    out = linear(x, weight, guarded((2, 40), torch.float32))
    assert_close(out, oracle(x, weight, torch.empty_like(out)), torch.float32)


@pytest.mark.parametrize("weight_format", [torch.float16, BlockFormat.Q5_1])
def test_bytes_moved_are_those_of_the_tensors(weight_format: WeightFormat) -> None:
    x, weight, out = normal((3, 64)), make_weight(40, 64, weight_format), normal((3, 40))
    moved = x.nbytes + weight.nbytes + out.nbytes
    assert bytes_moved(3, 64, 40, weight_format, torch.float32, torch.float32) == moved
