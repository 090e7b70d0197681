"""Code generation: TTIR text in, LLVM IR text out."""

from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.lower import LoweredKernel, lower
from triton_cpu.codegen.target import Target

__all__ = ["LoweredKernel", "Target", "UnsupportedOpError", "lower"]
