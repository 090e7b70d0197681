"""Code generation: TTIR text in, LLVM IR text out."""

from triton_cpu.codegen.errors import UnsupportedOpError
from triton_cpu.codegen.generator import Target
from triton_cpu.codegen.lower import LoweredKernel, lower

__all__ = ["LoweredKernel", "Target", "UnsupportedOpError", "lower"]
