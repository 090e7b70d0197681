import importlib
import inspect
import os
import subprocess
import sys
from typing import get_args

import pytest
from kernel_testing import INTERPRETED

from kernels.ops import CHOOSING, MODULES, Backend, Ops, load_ops
from kernels.targets import Target

NAMES = Ops._fields[1:]


@pytest.mark.parametrize("name", NAMES)
def test_oracle_and_kernel_have_one_signature(name: str) -> None:
    kernel, oracle = getattr(load_ops("compiled"), name), getattr(load_ops("reference"), name)
    assert kernel is not oracle
    parameters = dict(inspect.signature(kernel).parameters)
    assert (parameters.pop("invariant", None) is not None) == (name in CHOOSING)
    assert parameters == dict(inspect.signature(oracle).parameters)


@pytest.mark.parametrize("backend", ["reference", "interpret"])
def test_only_compiled_kernels_are_invariant(backend: Backend) -> None:
    with pytest.raises(RuntimeError, match=r"kernels.invariant=true needs kernels=compiled"):
        load_ops(backend, invariant=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_has_meta_parameters(name: str) -> None:
    module = importlib.import_module(f"kernels.{MODULES.get(name, name)}")
    assert set(module.META) == set(get_args(Target))


@pytest.mark.skipif(INTERPRETED, reason="needs a process where Triton compiles")
def test_interpreting_after_compiling_is_refused() -> None:
    with pytest.raises(RuntimeError, match="kernels=interpret"):
        load_ops("interpret")


@pytest.mark.parametrize(("asked", "variables"), [("interpret", {}), ("compiled", {"TRITON_INTERPRET": "1"})])
def test_interpret_in_a_fresh_process(asked: str, variables: dict[str, str]) -> None:
    code = f"""
import torch
from kernels.ops import load_ops
ops = load_ops({asked!r})
out = ops.argmax(torch.tensor([[1.0, 3.0, 3.0]]), torch.empty(1, dtype=torch.int32))
print(int(out), ops.backend, type(ops.argmax.__globals__["argmax_kernel"]).__name__)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment | variables, capture_output=True, text=True, timeout=120
    )
    assert result.stdout.split() == ["1", "interpret", "InterpretedFunction"], result.stderr
