import struct
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triton_cpu.arguments import HEADER_BYTES, Signature, argument_packer, bfloat16_bits
from triton_cpu.errors import LaunchArgumentError


def _slots(signatures: list[Signature], *arguments: object) -> bytes:
    pack = argument_packer([f"p{i}" for i in range(len(signatures))], signatures)
    record = pack(0x1234, 5, 6, 7, *arguments)
    assert struct.unpack_from("<qIIII", record) == (0x1234, 5, 6, 7, len(record))
    return record[HEADER_BYTES:]


@given(st.floats(width=32))
def test_bfloat16_rounds_as_torch_does(value: float) -> None:
    expected = torch.tensor(value).bfloat16().view(torch.int16).item() & 0xFFFF
    assert bfloat16_bits(value) == expected or value != value


def test_slots_follow_the_signature() -> None:
    tensor = torch.zeros(3)
    slots = _slots(
        ["*fp32", "constexpr", "i32", ("i64", ("*i8", "constexpr")), "u64", "fp32", "fp16", "fp64", "i1"],
        tensor, "unused", -5, (2**40, (None, 8)), 2**64 - 1, 1.5, 0.25, 0.1, True,
    )  # fmt: skip
    assert struct.unpack("<qqqqQf4xe6xdq", slots) == (
        tensor.data_ptr(), -5, 2**40, 0, 2**64 - 1, 1.5, 0.25, 0.1, 1
    )  # fmt: skip


def test_parameters_are_tensors() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    assert _slots(["*fp32"], parameter) == struct.pack("<q", parameter.data_ptr())


@pytest.mark.parametrize("signature", ["tensordesc<fp32[16, 8]>", "tensordesc<fp32[16, 8],input_rank=2>"])
def test_descriptors_are_taken_apart(signature: str) -> None:
    base = torch.zeros(32, 8)
    descriptor = SimpleNamespace(base=base, shape=[32, 8], strides=[8, 1], padding="nan")
    assert struct.unpack("<11q", _slots([signature], descriptor)) == (
        base.data_ptr(), 32, 8, 8, 1, 1, 0, 32, 8, 8, 1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("signature", "argument", "message"),
    [
        ("*fp32", torch.zeros(3, device="meta"), "device meta"),
        ("*fp32", "text", "not str"),
        ("i32", 1.5, "p0: i32 = 1.5"),
        ("fp32", None, "p0: fp32 = None"),
    ],
)
def test_wrong_arguments_are_named(signature: str, argument: object, message: str) -> None:
    with pytest.raises(LaunchArgumentError, match=message):
        _slots([signature], argument)


def test_unknown_types_and_negative_grids_are_named() -> None:
    with pytest.raises(LaunchArgumentError, match="type i128"):
        argument_packer(["p"], ["i128"])
    with pytest.raises(LaunchArgumentError, match=r"grid \(-1, 1, 1\)"):
        argument_packer([], [])(0, -1, 1, 1)
