"""The compiler that Triton finds through the `triton.backends` entry point: Triton IR, LLVM IR, object code.

Triton imports this module while it is itself being imported. So anything that imports `triton.language`, and
LLVM, whose loading processes that use a GPU should not pay for, is imported where it is used.
"""

import hashlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from triton import knobs
from triton._C.libtriton import ir, passes
from triton.backends.compiler import BaseBackend, GPUTarget, Language

from triton_cpu.options import CPUOptions


@cache
def _backend_fingerprint() -> str:
    """Changes whenever the same kernel could become other code: our sources, LLVM, the processor."""
    import llvmlite
    from llvmlite.binding import llvm_version_info

    from triton_cpu.native import host_machine

    digest = hashlib.sha256(repr((llvmlite.__version__, llvm_version_info, host_machine())).encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _min_dot_size(lhs_type: Any, rhs_type: Any) -> tuple[int, int, int]:
    return (1, 1, 1)


class CPUBackend(BaseBackend):
    """Compiles for the machine that the process runs on."""

    binary_ext = "obj"

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        return target.backend == "cpu"

    def parse_options(self, options: dict[str, Any]) -> CPUOptions:
        return CPUOptions.from_mapping(
            options, arch=str(self.target.arch), enable_fp_fusion=knobs.language.default_fp_fusion
        )

    def pack_metadata(self, metadata: Any) -> tuple[int, int, int]:
        return (metadata.num_warps, metadata.num_ctas, metadata.shared)

    def get_codegen_implementation(self, options: CPUOptions) -> dict[str, Any]:
        from triton_cpu.fp8e4b15 import convert_fp8e4b15

        return {"min_dot_size": _min_dot_size, "convert_custom_types": convert_fp8e4b15}

    def get_module_map(self) -> dict[str, ModuleType]:
        from triton_cpu import libdevice

        return {"triton.language.extra.libdevice": libdevice}

    def load_dialects(self, context: Any) -> None:
        """Triton's own dialects are enough."""

    @staticmethod
    def make_ttir(module: Any, metadata: dict[str, Any], options: CPUOptions) -> Any:
        manager = ir.pass_manager(module.context)
        manager.enable_debug()
        passes.common.add_inliner(manager)
        if hasattr(passes.ttir, "add_rewrite_tensor_pointer"):  # block pointers: until Triton 3.7
            passes.ttir.add_rewrite_tensor_pointer(manager)
        passes.ttir.add_rewrite_tensor_descriptor_to_pointer(manager)
        passes.common.add_canonicalizer(manager)
        passes.ttir.add_combine(manager)
        passes.ttir.add_reorder_broadcast(manager)
        passes.common.add_cse(manager)
        passes.ttir.add_triton_licm(manager)
        passes.common.add_symbol_dce(manager)
        passes.ttir.add_loop_unroll(manager)
        manager.run(module, "make_ttir")
        return module

    @staticmethod
    def make_llir(module: Any, metadata: dict[str, Any], options: CPUOptions) -> str:
        from triton_cpu.codegen import Target, lower
        from triton_cpu.native import host_machine

        host = host_machine()
        # Intel's processors, the only ones with AVX512-FP16, multiply two pairs of bf16 at a quarter of the rate at
        # which they multiply f32: there f32 is twice as fast, and exact.
        bf16_dot = host.has("avx512bf16") and not host.has("avx512fp16")
        # AArch64 rounds in a few instructions without any call where it has none for it.
        bf16_rounding = host.processor != "x86_64" or (host.has("avx512bf16") and host.has("avx512vl"))
        target = Target(
            vector_bits=host.vector_bits,
            vector_registers=host.vector_registers,
            has_masks=host.has("avx512bw"),
            bf16_dot=bf16_dot,
            bf16_tiles=host.has_tiles,
            bf16_rounding=bf16_rounding,
            fp_fusion=options.enable_fp_fusion,
        )
        kernel = lower(str(module), target)
        metadata["name"] = kernel.name
        metadata["shared"] = 0
        return kernel.llvm_ir

    @staticmethod
    def make_obj(llvm_ir: str, metadata: dict[str, Any], options: CPUOptions) -> bytes:
        from triton_cpu.native import compile_ir

        return compile_ir(llvm_ir)

    def add_stages(
        self, stages: dict[str, Any], options: CPUOptions, language: Language = Language.TRITON
    ) -> None:
        if language != Language.TRITON:
            raise NotImplementedError(
                "Gluon kernels describe a GPU's threads; the CPU backend compiles Triton kernels only"
            )
        stages["ttir"] = lambda src, metadata: self.make_ttir(src, metadata, options)
        stages["llir"] = lambda src, metadata: self.make_llir(src, metadata, options)
        stages["obj"] = lambda src, metadata: self.make_obj(src, metadata, options)
        if knobs.runtime.add_stages_inspection_hook is not None:
            knobs.runtime.add_stages_inspection_hook(self, stages, options, language, None)

    def hash(self) -> str:
        return _backend_fingerprint()
