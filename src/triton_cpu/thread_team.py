"""Running launch records (see runtime_ir) on the threads that torch computes with."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from triton_cpu import native
from triton_cpu.runtime_ir import launcher_ir

RunRecords = Callable[[bytes], None]


class OpenMP(NamedTuple):
    """Addresses of the entry points of an OpenMP runtime."""

    parallel: int
    num_threads: int


@cache
def torch_openmp() -> OpenMP | None:
    """The OpenMP runtime that torch itself is linked to, or None where torch was built without one.

    A symbol is looked for in torch's library and then in the libraries it depends on: this finds the very
    copy torch uses, whether it ships with torch or belongs to the system. So kernels and torch share threads,
    and `torch.set_num_threads` rules both.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    try:
        entries = (library.GOMP_parallel, library.omp_get_num_threads)
    except AttributeError:
        return None
    parallel, num_threads = (ctypes.cast(entry, ctypes.c_void_p).value or 0 for entry in entries)
    return OpenMP(parallel, num_threads)


def load_launcher(openmp: OpenMP | None) -> RunRecords:
    """Compiles the native launcher. Without OpenMP, it runs everything in the calling thread."""
    imports = {
        "GOMP_parallel": openmp.parallel if openmp else 0,
        "omp_get_num_threads": openmp.num_threads if openmp else 0,
    }
    code = native.compile_ir(launcher_ir(native.host_machine().processor))
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    run = prototype(native.load_object(code, "run_launches", imports))
    if openmp is None:
        return lambda records: run(records, len(records), 1)
    num_threads = torch.get_num_threads
    # torch's number is read at each call, as torch reads it. The team always has that many threads, though a
    # small grid needs fewer: an OpenMP runtime ends its surplus threads when a team shrinks, and starts them
    # anew later.
    return lambda records: run(records, len(records), num_threads())


@cache
def run_records() -> RunRecords:
    """The process's launcher: a function that runs launch records, one behind the other, in order."""
    return load_launcher(torch_openmp())
