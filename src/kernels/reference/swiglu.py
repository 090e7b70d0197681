"""Oracle of kernels.swiglu."""

from torch import Tensor
from torch.nn.functional import silu

from kernels.packed import Weight
from kernels.reference.linear import project


def swiglu(x: Tensor, gate: Weight, up: Weight, out: Tensor) -> Tensor:
    return out.copy_(silu(project(x, gate)) * project(x, up))
