"""Argument checks of the launchers: a wrong tensor is a ValueError that names the argument."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kernels.packed import PackedTensor, Weight

ACTIVATIONS = (torch.float32, torch.bfloat16, torch.float16)


def check_tensor(
    name: str, tensor: Tensor, dtypes: Sequence[torch.dtype], shape: Sequence[int], device: torch.device
) -> None:
    """Raise ValueError unless `tensor` is contiguous with this shape, on the device, of one of the dtypes."""
    check_view(name, tensor, dtypes, shape, device)
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: must be contiguous, has strides {tuple(tensor.stride())}")


def check_view(
    name: str, tensor: Tensor, dtypes: Sequence[torch.dtype], shape: Sequence[int], device: torch.device
) -> None:
    """check_tensor for a tensor whose first stride is free: its other dimensions lie contiguous."""
    if tensor.dtype not in dtypes:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise ValueError(f"{name}: dtype must be {allowed}, is {tensor.dtype}")
    if tensor.shape != torch.Size(shape):
        raise ValueError(f"{name}: shape must be {tuple(shape)}, is {tuple(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{name}: must be on {device}, is on {tensor.device}")
    if tensor.dim() > 1 and not tensor[0:1].is_contiguous():
        raise ValueError(f"{name}: rows must be contiguous, strides are {tuple(tensor.stride())}")


class WeightArguments(NamedTuple):
    """A weight as a kernel takes it."""

    data: Tensor
    format: str  # "dense" or the name of a BlockFormat


def check_weight(name: str, weight: Weight, shape: tuple[int | None, int], device: torch.device) -> WeightArguments:
    """Kernel arguments of a weight; ValueError unless it is contiguous [N, K] (N None: any) on the device."""
    rows = weight.shape[0] if shape[0] is None else shape[0]
    if isinstance(weight, PackedTensor):
        if weight.shape != (rows, shape[1]):
            raise ValueError(f"{name}: shape must be {(rows, shape[1])}, is {tuple(weight.shape)}")
        if weight.device != device:
            raise ValueError(f"{name}: must be on {device}, is on {weight.device}")
        return WeightArguments(weight.data, weight.format.name)
    check_tensor(name, weight, ACTIVATIONS, (rows, shape[1]), device)
    return WeightArguments(weight, "dense")
