"""What all forms of the wkv7 recurrence take, and how log_lens speaks."""

import torch
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor

# What log_lens says of a slot, where it is not the length of the slot's log.
DIRECT = -1  # the state is updated in place
FRESH = -2  # the same, but before the step it is zero, whatever memory holds

HEAD_SIZES = (16, 32, 64, 128)


def check_arguments(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, slots: Tensor,
    cu_seqlens: Tensor, log_lens: Tensor, out: Tensor,
) -> None:  # fmt: skip
    """ValueError naming the argument that does not fit; what each should be is said in `kernels.wkv7`."""
    T, H, N = r.shape
    num_slots, S = len(state), len(slots)
    device = r.device
    check_tensor("r", r, ACTIVATIONS, (T, H, N), device)
    if N not in HEAD_SIZES:
        raise ValueError(f"r: the head size must be one of {HEAD_SIZES}, is {N}")
    check_tensor("log_w", log_w, (torch.float32,), (T, H, N), device)
    for name, tensor in {"k": k, "v": v, "a": a, "b": b}.items():
        check_tensor(name, tensor, (r.dtype,), (T, H, N), device)
    check_tensor("state", state, (torch.float32,), (num_slots, H, N, N), device)
    check_tensor("slots", slots, (torch.int32,), (S,), device)
    check_tensor("cu_seqlens", cu_seqlens, (torch.int32,), (S + 1,), device)
    check_tensor("log_lens", log_lens, (torch.int32,), (num_slots,), device)
    check_tensor("out", out, (torch.float32,), (T, H, N), device)
