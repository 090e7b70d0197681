"""Accuracy of the vector functions, against numpy in float64."""

import ctypes
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from triton_cpu import native
from triton_cpu.vecmath import exponential, math_function

F32 = np.ndarray[tuple[int], np.dtype[np.float32]]
F64 = np.ndarray[tuple[int], np.dtype[np.float64]]


def _compiled(name: str, lanes: int, elem: str = "float") -> Callable[[np.ndarray], np.ndarray]:
    symbol, definition = math_function(name, lanes, elem)
    vector = elem if lanes == 1 else f"<{lanes} x {elem}>"
    loop = f"""
define void @loop(ptr %x, ptr %out, i64 %n) {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %j, %next ]
  %p = getelementptr {elem}, ptr %x, i64 %i
  %q = getelementptr {elem}, ptr %out, i64 %i
  %value = load {vector}, ptr %p, align 4
  %result = call {vector} @{symbol}({vector} %value)
  store {vector} %result, ptr %q, align 4
  %j = add i64 %i, {lanes}
  %more = icmp ult i64 %j, %n
  br i1 %more, label %next, label %done
done:
  ret void
}}
"""
    address = native.load_object(native.compile_ir(definition + loop), "loop")
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)

    def call(x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        run(x.ctypes.data, out.ctypes.data, len(x))
        return out

    return call


def _samples() -> F32:
    """All exponents and both signs, dense where the functions bend, and the special values."""
    everything = np.arange(0, 2**32, 4093, dtype=np.uint64).astype(np.uint32).view(np.float32)
    special = [
        0.0,
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
        1.0,
        -1.0,
        1e-45,
        -1e-45,
        127.99999,
        128.0,
        -149.0,
        -150.0,
    ]
    special += [88.72284, 88.72283, -87.33655, -103.97, -103.98, 2.0**-24, -(2.0**-24)]
    dense = [np.linspace(-20, 20, 200_000), np.linspace(0.5, 2, 100_000), np.linspace(-1e-3, 1e-3, 20_000)]
    samples = np.concatenate([everything, *(np.float32(part) for part in (*dense, special))])
    return np.concatenate([samples, np.ones(-len(samples) % 64, np.float32)])


SAMPLES = _samples()


def _erf(x: F64) -> F64:
    return torch.erf(torch.from_numpy(x)).numpy()


REFERENCES: dict[str, tuple[Callable[[F64], F64], float]] = {
    "exp": (np.exp, 1.0),
    "exp2": (np.exp2, 1.0),
    "expm1": (np.expm1, 1.5),
    "log": (np.log, 1.0),
    "log2": (np.log2, 1.5),
    "log1p": (np.log1p, 1.5),
    "tanh": (np.tanh, 1.5),
    "erf": (_erf, 1.5),
    "sqrt": (np.sqrt, 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5),
    "sin": (np.sin, 1.0),
    "floor": (np.floor, 0.0),
    "rint": (np.rint, 0.0),
}


def _units_in_last_place(got: F32, exact: F64) -> F64:
    """Error in spacings of the result; infinity where special values or signs of zero differ."""
    nearest = exact.astype(np.float32)
    error = np.abs(got.astype(np.float64) - exact) / np.spacing(np.abs(nearest)).astype(np.float64)
    same = (got == nearest) & (np.signbit(got) == np.signbit(nearest)) | (np.isnan(got) & np.isnan(nearest))
    finite = np.isfinite(nearest) & (nearest != 0)
    return np.where(finite, error, np.where(same, 0.0, np.inf))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", REFERENCES)
def test_stated_error_holds(name: str) -> None:
    reference, bound = REFERENCES[name]
    exact = reference(SAMPLES.astype(np.float64))
    error = _units_in_last_place(_compiled(name, 16)(SAMPLES), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{name}({SAMPLES[worst]!r}) is off by {error[worst]} ulp"


@pytest.mark.parametrize("name", ["exp", "exp2", "tanh", "erf"])
def test_without_wide_vectors_results_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Powers of two are put together by hand where the processor has no instruction for it."""
    expected = _compiled(name, 16)(SAMPLES)
    monkeypatch.setattr(exponential, "host_machine", lambda: native.HostMachine("x86_64", "generic", ""))
    np.testing.assert_array_equal(_compiled(name, 16)(SAMPLES), expected)


@pytest.mark.parametrize("lanes", [1, 2, 8, 64])
@pytest.mark.parametrize("name", ["exp", "log1p", "tanh"])
def test_lanes_do_not_change_results(name: str, lanes: int) -> None:
    few = SAMPLES[:: len(SAMPLES) // 4096][:4096].copy()
    np.testing.assert_array_equal(_compiled(name, lanes)(few), _compiled(name, 16)(few))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("name", ["exp", "expm1", "log1p", "erf", "rsqrt"])
def test_double_precision(name: str, lanes: int) -> None:
    """Within 4 units in the last place, special values included."""
    special = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-310, -1e-17, 1e-17, 710.0, -745.2, 1e300, -1.0]
    x = np.concatenate([np.linspace(-7, 7, 1 << 14), np.geomspace(1e-18, 1, 1 << 14), special, np.ones(4)])
    np.testing.assert_allclose(_compiled(name, lanes, "double")(x), REFERENCES[name][0](x), rtol=9e-16)


def test_unknown_functions_are_refused() -> None:
    with pytest.raises(KeyError):
        math_function("gamma", 16, "float")
