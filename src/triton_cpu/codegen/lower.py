"""The entry point of code generation."""

from __future__ import annotations

from typing import NamedTuple

from triton_cpu.codegen.generator import Generator, Target
from triton_cpu.ttir_parser import parse


class LoweredKernel(NamedTuple):
    name: str
    llvm_ir: str


def lower(ttir: str, target: Target) -> LoweredKernel:
    """Generates the program function ``void @name(ptr args, i32 pid_x, pid_y, pid_z, i32 grid_x, grid_y, grid_z)``.

    ``ttir`` is the text of a module with one kernel (``str(module)``); raises `UnsupportedOpError` with the kernel's
    source line for what this backend does not compile.
    """
    functions = parse(ttir)
    kernel = functions[0]
    return LoweredKernel(kernel.name, Generator(kernel, target).module())
