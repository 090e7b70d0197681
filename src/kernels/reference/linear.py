"""Oracle of kernels.linear."""

from torch import Tensor
from torch.nn.functional import linear as dense_linear

from kernels.packed import PackedTensor, Weight, dequantize


def project(x: Tensor, weight: Weight) -> Tensor:
    """x @ weight.T in f32."""
    dense = dequantize(weight) if isinstance(weight, PackedTensor) else weight.float()
    return dense_linear(x.float(), dense)


def linear(x: Tensor, weight: Weight, out: Tensor, bias: Tensor | None = None) -> Tensor:
    product = project(x, weight)
    return out.copy_(product if bias is None else product + bias.float())
