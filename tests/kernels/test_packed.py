import gguf
import numpy as np
import pytest
import torch
from kernel_testing import FORMATS

from kernels.packed import BlockFormat, PackedTensor, dequantize, weight_bytes


@pytest.mark.parametrize("block_format", FORMATS)
def test_dequantize_equals_gguf(block_format: BlockFormat) -> None:
    ggml_type = gguf.GGMLQuantizationType(block_format.value)
    assert (block_format.block_size, block_format.block_bytes) == gguf.GGML_QUANT_SIZES[ggml_type]
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (5, 3, block_format.block_bytes), dtype=np.uint8)
    blocks[..., 1] &= 0xBF  # keep the f16 scales finite
    blocks[..., 3] &= 0xBF
    blocks = blocks.reshape(5, -1)
    weight = PackedTensor(torch.from_numpy(blocks), block_format)
    assert weight.shape == (5, 96)
    assert weight.nbytes == weight_bytes(5, 96, block_format)
    expected = torch.from_numpy(gguf.quants.dequantize(blocks, ggml_type))
    assert torch.equal(dequantize(weight), expected)


@pytest.mark.parametrize(
    "data",
    [torch.zeros(2, 19, dtype=torch.uint8), torch.zeros(2, 20), torch.zeros(20, 2, dtype=torch.uint8).T],
)
def test_data_that_are_no_blocks(data: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"^data: "):
        PackedTensor(data, BlockFormat.Q4_1)
