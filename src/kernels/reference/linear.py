"""Oracle of kernels.linear."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import linear as dense_linear

from kernels.packed import PackedTensor, Weight, dequantize


def project(x: Tensor, weight: Weight) -> Tensor:
    """x @ weight.T in f32."""
    dense = dequantize(weight) if isinstance(weight, PackedTensor) else weight.float()
    return dense_linear(x.float(), dense)


def linear(
    x: Tensor, weight: Weight, out: Tensor, bias: Tensor | None = None,
    activation: Literal["none", "relu_squared"] = "none",
) -> Tensor:  # fmt: skip
    product = project(x, weight)
    if bias is not None:
        product += bias.float()
    return out.copy_(product.relu().square() if activation == "relu_squared" else product)
