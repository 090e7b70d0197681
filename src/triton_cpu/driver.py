"""The driver that Triton finds through the `triton.backends` entry point.

Triton imports this module in every process, those that use a GPU too; torch and LLVM are loaded only when a
driver is made.
"""

import os
from typing import Any, NamedTuple

from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

# Triton compares the warps of a kernel with this. Warps mean nothing here, so any number will do.
MAX_THREADS = 2**30


class LoadedKernel(NamedTuple):
    """What Triton keeps of a loaded binary; the module and the function are both its address here."""

    module: int
    function: int
    registers: int
    spills: int
    max_threads: int


class CPUUtils:
    """Loading of binaries and device properties."""

    @staticmethod
    def load_binary(name: str, binary: bytes, shared: int, device: int) -> LoadedKernel:
        from triton_cpu.native import load_object

        address = load_object(binary, name)
        return LoadedKernel(address, address, 0, 0, MAX_THREADS)

    @staticmethod
    def unload_module(module: int) -> None:
        """Keeps the code: recordings hold addresses of it, and may outlive the kernel's Python object."""

    @staticmethod
    def get_device_properties(device: int) -> dict[str, int]:
        return {"max_shared_mem": 2**31 - 1, "multiprocessor_count": os.cpu_count() or 1, "warpSize": 1}


class CPUDriver(DriverBase):
    """One device, number 0, with one stream, number 0, whose launches return when the kernel has run."""

    def __init__(self) -> None:
        super().__init__()
        from triton_cpu.launch import CPULauncher

        self.utils = CPUUtils()
        self.launcher_cls = CPULauncher

    @staticmethod
    def is_active() -> bool:
        """Without a GPU, or if TRITON_DEFAULT_BACKEND=cpu: Triton refuses two active drivers."""
        if os.environ.get("TRITON_DEFAULT_BACKEND") == "cpu":
            return True
        import torch

        return not torch.cuda.is_available()

    def map_python_to_cpp_type(self, ty: str) -> str:
        """Names of C types, for tools that print a kernel's signature."""
        if ty.startswith("*"):
            return "void*"
        widths = {"fp16": "uint16_t", "bf16": "uint16_t", "fp32": "float", "f32": "float", "fp64": "double"}
        if ty in widths:
            return widths[ty]
        return f"{'u' if ty[0] == 'u' else ''}int{max(8, int(ty[1:]))}_t"

    def get_current_target(self) -> GPUTarget:
        from triton_cpu.native import host_machine

        return GPUTarget("cpu", host_machine().cpu, 1)

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        """There is only one device."""

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_active_torch_device(self) -> Any:
        import torch

        return torch.device("cpu")

    def get_device_interface(self) -> Any:
        from triton_cpu.benchmark import CPUInterface

        return CPUInterface

    def get_benchmarker(self) -> Any:
        from triton.testing import do_bench

        return do_bench

    def get_empty_cache_for_benchmark(self) -> Any:
        from triton_cpu.benchmark import empty_cache

        return empty_cache()

    def clear_cache(self, cache: Any) -> None:
        cache.zero_()
