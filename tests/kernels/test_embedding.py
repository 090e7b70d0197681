import pytest
import torch
from kernel_testing import ACTIVATIONS, FORMATS, Guarded, assert_close, integers, normal, packed

from kernels.embedding import embedding
from kernels.packed import BlockFormat
from kernels.reference.embedding import embedding as oracle

IDS = [3, 0, 6, 3, -1, 7]  # the last two are outside of a table of 7


@pytest.mark.parametrize("out_dtype", ACTIVATIONS)
@pytest.mark.parametrize("table_dtype", ACTIVATIONS)
@pytest.mark.parametrize("width", [1, 75])
def test_dense(width: int, table_dtype: torch.dtype, out_dtype: torch.dtype, guarded: Guarded) -> None:
    ids, table = integers(IDS), normal((7, width), table_dtype)
    shape = len(IDS), width
    actual = embedding(ids, table, guarded(shape, out_dtype))
    assert torch.equal(actual, oracle(ids, table, torch.empty_like(actual)))


@pytest.mark.parametrize("block_format", FORMATS)
@pytest.mark.parametrize("width", [32, 1120])
def test_packed(width: int, block_format: BlockFormat, guarded: Guarded) -> None:
    ids, table = integers(IDS), packed((7, width), block_format)
    actual = embedding(ids, table, guarded((len(IDS), width), torch.float32))
    assert_close(actual, oracle(ids, table, torch.empty_like(actual)), torch.float32)
    assert not actual[-2:].any()
