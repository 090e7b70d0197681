import pytest
import torch
from kernel_testing import ACTIVATIONS, DEVICE, Guarded, assert_close, normal, packed

from kernels.packed import BlockFormat, PackedColumns, columns_of, dequantize
from kernels.reference.sparse_linear import sparse_linear as oracle
from kernels.sparse_linear import bytes_moved, sparse_linear

FEW, MANY = (1, 3, 8), (9, 40)  # rows of x: the two forms


def sparse(shape: tuple[int, int], dtype: torch.dtype = torch.float32, zeros: float = 0.8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    used = torch.rand(shape, generator=generator) >= zeros
    return normal(shape, dtype) * used.to(DEVICE)


def scratch_of(x: torch.Tensor, guarded: Guarded) -> torch.Tensor:
    return guarded((x.shape[1] + 1,), torch.int32)


def check(x: torch.Tensor, weight: torch.Tensor | PackedColumns, guarded: Guarded, dtype: torch.dtype) -> None:
    out, scratch = guarded((x.shape[0], weight.shape[1]), dtype), scratch_of(x, guarded)
    expected = oracle(x, weight, scratch, torch.empty_like(out, dtype=torch.float32))
    assert sparse_linear(x, weight, scratch, out) is out
    assert_close(out, expected, x.dtype)


@pytest.mark.parametrize("tokens", FEW + MANY)
@pytest.mark.parametrize("dtype", ACTIVATIONS)
def test_dense_weights(tokens: int, dtype: torch.dtype, guarded: Guarded) -> None:
    check(sparse((tokens, 160), dtype), normal((160, 96), dtype, seed=1), guarded, dtype)


@pytest.mark.parametrize("tokens", FEW + MANY)
@pytest.mark.parametrize("dtype", ACTIVATIONS)
def test_packed_columns(tokens: int, dtype: torch.dtype, guarded: Guarded) -> None:
    columns = columns_of(packed((70, 96), BlockFormat.Q8_0))
    check(sparse((tokens, 96), dtype), columns, guarded, torch.float32)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 33, 5), (3, 300, 1), (12, 70, 65)])
def test_odd_shapes(shape: tuple[int, int, int], guarded: Guarded) -> None:
    tokens, inputs, columns = shape
    check(sparse((tokens, inputs), zeros=0.5), normal((inputs, columns), seed=1), guarded, torch.float32)


@pytest.mark.parametrize("zeros", [0.0, 1.0])
def test_nothing_and_everything_is_zero(zeros: float, guarded: Guarded) -> None:
    check(sparse((2, 64), zeros=zeros), normal((64, 48), seed=1), guarded, torch.float32)


def test_rows_that_meet_only_zeros_are_not_read(guarded: Guarded) -> None:
    x, weight = sparse((3, 200), zeros=0.9), normal((200, 40), seed=1)
    unused = (x == 0).all(0)
    assert 0 < int(unused.sum()) < 200
    weight[unused] = torch.nan
    out = sparse_linear(x, weight, scratch_of(x, guarded), guarded((3, 40), torch.float32))
    assert_close(out, x[:, ~unused] @ weight[~unused], torch.float32)


def test_columns_are_the_turned_matrix() -> None:
    weight = packed((40, 96), BlockFormat.Q8_0)
    columns = columns_of(weight)
    assert columns.shape == (96, 40)
    assert columns.nbytes == weight.nbytes
    assert torch.equal(dequantize(columns), dequantize(weight).T)
    with pytest.raises(ValueError, match=r"^weight: .*Q4_1"):
        columns_of(packed((40, 96), BlockFormat.Q4_1))


def test_bytes_moved_are_those_of_the_tensors() -> None:
    x, weight = normal((3, 64)), columns_of(packed((40, 64), BlockFormat.Q8_0))
    moved = x.nbytes + weight.nbytes + 3 * 40 * 4
    assert bytes_moved(3, 64, 40, 64, BlockFormat.Q8_0, torch.float32, torch.float32) == moved


X, WEIGHT, SCRATCH, OUT = normal((2, 64)), normal((64, 8)), normal((65,)).int(), normal((2, 8))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("x", (X.double(), WEIGHT, SCRATCH, OUT)),
        ("weight", (X, WEIGHT[:32], SCRATCH, OUT)),
        ("weight", (X, columns_of(packed((8, 32), BlockFormat.Q8_0)), SCRATCH, OUT)),
        ("scratch", (X, WEIGHT, SCRATCH[:64], OUT)),
        ("out", (X, WEIGHT, SCRATCH, OUT.half())),
    ],
)
def test_a_wrong_argument_is_named(name: str, arguments: tuple) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        sparse_linear(*arguments)


def test_no_columns() -> None:
    quants = torch.zeros(64, 8, dtype=torch.int8)
    with pytest.raises(ValueError, match=r"^scales: "):
        PackedColumns(quants, torch.zeros(3, 8, dtype=torch.float16))
    with pytest.raises(ValueError, match=r"^scales: "):
        PackedColumns(quants, torch.zeros(2, 8))
    with pytest.raises(ValueError, match=r"^quants: "):
        PackedColumns(quants.T, torch.zeros(2, 8, dtype=torch.float16))
