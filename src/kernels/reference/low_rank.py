"""Oracle of kernels.low_rank."""

from math import exp

from torch import Tensor

from kernels.low_rank import LowRank
from kernels.reference.linear import project


def low_rank(
    x: Tensor, decay: LowRank, rate: LowRank, gate: LowRank, value: LowRank | None, hidden: Tensor,
    log_w: Tensor, alpha: Tensor, g: Tensor, nu: Tensor | None,
) -> Tensor:  # fmt: skip
    def up(hidden: Tensor, matrices: LowRank) -> Tensor:
        product = project(hidden.to(x.dtype), matrices.up)
        return product if matrices.bias is None else product + matrices.bias

    alpha.copy_(up(project(x[1], rate.down), rate).sigmoid())
    g.copy_(up(project(x[2], gate.down).sigmoid(), gate))
    if value is not None and nu is not None:
        nu.copy_(up(project(x[3], value.down), value).sigmoid())
    return log_w.copy_(-exp(-0.5) * up(project(x[0], decay.down).tanh(), decay).sigmoid())
