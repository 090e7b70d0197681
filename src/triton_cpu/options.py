"""Options of one kernel's compilation."""

import hashlib
from dataclasses import dataclass, fields
from typing import Any

FP8_TYPES = ("fp8e4nv", "fp8e4b8", "fp8e4b15", "fp8e5", "fp8e5b16")


@dataclass(frozen=True)
class CPUOptions:
    """What `kernel[grid](..., name=value)` accepts besides the kernel's own parameters.

    Triton reads many of these while it parses the kernel. Those that schedule work on a GPU are accepted
    and have no effect, so that kernels tuned for one run unchanged.
    """

    enable_fp_fusion: bool = True  # may a * b + c be one rounding
    debug: bool = False
    sanitize_overflow: bool = True  # with debug: check integer arithmetic
    arch: str = ""

    # Read by Triton's frontend.
    backend_name: str = "cpu"
    supported_fp8_dtypes: tuple[str, ...] = FP8_TYPES
    deprecated_fp8_dot_operand_dtypes: tuple[str, ...] = ()
    default_dot_input_precision: str = "ieee"
    allowed_dot_input_precisions: tuple[str, ...] = ("ieee", "tf32", "tf32x3", "bf16x3", "bf16x6")
    max_num_imprecise_acc_default: int = 0
    extern_libs: tuple[tuple[str, str], ...] = ()
    ir_override: str | None = None
    instrumentation_mode: str = ""
    fpsan_homomorphic_casts: bool = False

    # Without effect on a CPU.
    num_warps: int = 1
    num_ctas: int = 1
    num_stages: int = 1
    warp_size: int = 1
    maxnreg: int | None = None
    launch_cooperative_grid: bool = False
    launch_pdl: bool = False
    cluster_dims: tuple[int, ...] = (1, 1, 1)
    num_buffers_warp_spec: int = 0
    num_consumer_groups: int = 0
    waves_per_eu: int = 0
    matrix_instr_nonkdim: int = 0
    kpack: int = 1
    schedule_hint: str = "none"
    clc: bool = False
    min_shared_mem: int | None = None

    @classmethod
    def from_mapping(cls, options: dict[str, Any], **defaults: Any) -> "CPUOptions":
        """Options of those names that exist here; Triton itself rejects keywords that exist nowhere."""
        names = {field.name for field in fields(cls)}
        given = {name: value for name, value in options.items() if name in names and value is not None}
        return cls(**{**defaults, **given})

    def hash(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()
