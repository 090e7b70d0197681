"""The chips that the kernels carry meta-parameters for."""

from functools import cache
from typing import Literal

import torch
import triton

from triton_cpu.native import host_machine

# cpu: with 32 vector registers of 512 bits. cpu_256: with half as many half as wide (AVX2), or quarters (NEON).
Target = Literal["cpu", "cpu_256", "sm_80", "sm_90", "sm_100", "gfx942"]


@cache
def target_of(device: torch.device) -> Target:
    """The column of a kernel's META table for a device: the newest listed chip not newer than it."""
    if device.type == "cpu":
        return "cpu" if _has_wide_vectors() else "cpu_256"
    if device.type != "cuda":
        raise ValueError(f"device: the kernels run on cpu and cuda devices, not on {device}")
    if torch.version.hip is not None:
        return "gfx942"
    major, _ = torch.cuda.get_device_capability(device)
    if major >= 10:
        return "sm_100"
    return "sm_90" if major == 9 else "sm_80"


@cache
def has_bf16_tiles() -> bool:
    """Whether the CPU multiplies tiles of bf16 (AMX)."""
    return not triton.knobs.runtime.interpret and host_machine().has_tiles


def _has_wide_vectors() -> bool:
    if triton.knobs.runtime.interpret:  # each operation is a step of Python: the larger, the better
        return True
    return host_machine().vector_bits == 512
