"""Kernels run as they are compiled for another target than this machine's."""

import ctypes

from triton_cpu import native
from triton_cpu.codegen import Target, lower


def compiled_for(target: Target, kernel, *arguments, **shape):
    """Runs the kernel's only program; returns its LLVM IR. arguments: tensors and integers."""
    ttir = kernel.warmup(*arguments, grid=(1,), **shape).asm["ttir"]
    lowered = lower(ttir, target)
    address = native.load_object(native.compile_ir(lowered.llvm_ir), lowered.name)
    program = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int] * 6)(address)
    values = [a if isinstance(a, int) else a.data_ptr() for a in arguments]
    program((ctypes.c_void_p * len(values))(*values), 0, 0, 0, 1, 1, 1)
    return lowered.llvm_ir
