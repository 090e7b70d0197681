"""Host machine code: LLVM IR text to object bytes, object bytes to callable addresses."""

import ctypes
import platform
import sys
import threading
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import llvmlite.binding as llvm

from triton_cpu.errors import NativeCodeError, UnsupportedMachineError

PROCESSORS = ("x86_64", "aarch64")

# LLVM objects are not safe to share between threads, and kernels may be compiled from several.
_lock = threading.Lock()
_library_numbers = count()
_loaded_libraries: list[Any] = []


@dataclass(frozen=True)
class HostMachine:
    """The processor that code is generated for."""

    processor: str  # "x86_64" or "aarch64"
    cpu: str  # LLVM's name of the model, which decides scheduling only
    features: str  # "+avx,+avx2,-amx-tile,...": which instructions may be used
    has_tiles: bool = False  # products of tiles of bf16 (AMX), whose registers the system has granted

    def has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")

    @property
    def vector_bits(self) -> int:
        return 512 if self.has("avx512f") else 256 if self.has("avx2") else 128

    @property
    def vector_registers(self) -> int:
        return 32 if self.processor == "aarch64" or self.has("avx512f") else 16


@cache
def host_machine() -> HostMachine:
    """The machine this process runs on.

    Raises UnsupportedMachineError outside Linux on x86-64 or AArch64.
    """
    processor = platform.machine()
    if sys.platform != "linux" or processor not in PROCESSORS:
        raise UnsupportedMachineError(
            f"compiled CPU kernels need Linux on {' or '.join(PROCESSORS)}, not {sys.platform} {processor}; "
            "set TRITON_INTERPRET=1 to interpret kernels instead"
        )
    features = llvm.get_host_cpu_features().flatten()
    if processor == "x86_64":
        # Server parts of one vendor are tuned to split 512-bit vectors in two. Kernels stream long rows
        # and do wide fused multiply-adds, where the full width wins.
        features += ",-prefer-256-bit,-prefer-128-bit"
    has_tiles = "+amx-bf16" in features.split(",") and _may_use_tiles()
    return HostMachine(processor, llvm.get_host_cpu_name(), features, has_tiles)


def _may_use_tiles() -> bool:
    """Asks the system for the registers of AMX, which it saves for processes that have asked: arch_prctl(2),
    ARCH_REQ_XCOMP_PERM of XFEATURE_XTILEDATA."""
    return bool(ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0)


@cache
def _initialize_llvm() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # the launcher spins on an instruction written in assembly


def _target_machine() -> Any:
    host = host_machine()
    _initialize_llvm()
    # Position-independent code in the small model reaches constants and calls relative to the instruction;
    # the linker places an object's sections together and adds stubs to functions that are further away.
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=host.cpu, features=host.features, opt=3, reloc="pic", codemodel="small"
    )


def _optimized_module(llvm_ir: str, machine: Any) -> Any:
    try:
        module = llvm.parse_assembly(llvm_ir, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise NativeCodeError(f"generated LLVM IR is invalid: {str(error).strip()}") from error
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True  # for the scalar loops that are left
    # Kernels arrive in vectors of full width. Looking for more took a fifth of the time and found none.
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def compile_ir(llvm_ir: str) -> bytes:
    """Optimized object code of a module of LLVM IR text for this machine.

    Raises NativeCodeError where LLVM does not accept the text.
    """
    with _lock:
        machine = _target_machine()
        return bytes(machine.emit_object(_optimized_module(llvm_ir, machine)))


def assembly(llvm_ir: str) -> str:
    """What `compile_ir` generates, as assembly text, for people and tests that read instructions."""
    with _lock:
        machine = _target_machine()
        return str(machine.emit_assembly(_optimized_module(llvm_ir, machine)))


@cache
def _linker() -> Any:
    return llvm.create_lljit_compiler(_target_machine(), use_jit_link=True, suppress_errors=True)


def load_object(code: bytes, symbol: str, imports: dict[str, int] | None = None) -> int:
    """Address of function `symbol` in object bytes.

    They are linked against this process and `imports` (name to address).

    The code stays loaded as long as the process lives, so the address may be kept anywhere.
    Raises NativeCodeError where the object is damaged or a symbol is missing.
    """
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(symbol)
    for name, address in (imports or {}).items():
        library.import_symbol(name, address)
    with _lock:
        try:
            tracker = library.link(_linker(), f"object{next(_library_numbers)}")
        except RuntimeError as error:
            raise NativeCodeError(f"cannot load {symbol}: {str(error).strip()}") from error
        _loaded_libraries.append(tracker)
    return int(tracker[symbol])
