"""Kernel arguments to launch records: the bytes that the native launcher reads (layout in runtime_ir)."""

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from triton_cpu.errors import LaunchArgumentError

HEADER = "<qIIII"  # function address, grid x, y, z, bytes of the whole record
HEADER_BYTES = struct.calcsize(HEADER)

# One letter of `struct` and padding to a slot for each type of scalar. Types of less than 64 bits are stored
# as 64-bit integers: kernels read the low bytes, which is what a conversion in C would keep.
# Kernels that come from a file of Triton IR name floats without a p.
_SLOT_FORMATS = {
    **{name: "q" for name in ("i1", "i8", "i16", "i32", "i64", "u1", "u8", "u16", "u32")},
    "u64": "Q",
    "fp16": "e6x",
    "f16": "e6x",
    "bf16": "H6x",
    "fp32": "f4x",
    "f32": "f4x",
    "fp64": "d",
    "f64": "d",
}

_DESCRIPTOR = re.compile(r"tensordesc(?:_im2col)?<[^\[>]*\[([^\]]*)\](?:.*?,input_rank=(\d+))?")

Signature = str | tuple["Signature", ...]
Packer = Callable[..., bytes]


class Slot(NamedTuple):
    """One 8-byte slot: how it is stored, and the Python expression of its value."""

    format: str
    value: str


def bfloat16_bits(value: float) -> int:
    """Bit pattern of the bfloat16 nearest to a number, ties to even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    if value != value:
        return 0x7FC0
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 & 0xFFFF


def pointer(value: Any) -> int:
    """Address that a kernel reads for a pointer argument: a tensor of CPU memory, an address, or None.

    Raises LaunchArgumentError for a tensor that lives on another device.
    """
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    device = getattr(value, "device", None)
    if device is not None and getattr(device, "type", device) != "cpu":
        raise LaunchArgumentError(
            f"a compiled CPU kernel was passed a tensor on device {device}; move it with .cpu()"
        )
    if hasattr(value, "data_ptr"):
        return int(value.data_ptr())
    raise LaunchArgumentError(f"a pointer argument must be a tensor, not {type(value).__name__}")


def _descriptor_slots(signature: str, value: str) -> Iterator[Slot]:
    """Slots of a host-side tensor descriptor, in the order of Triton's rewrite to pointers.

    Base, shape, strides, is padding NaN, is rounding to TF32 on, and shape and strides once more.
    """
    match = _DESCRIPTOR.match(signature)
    if match is None:
        raise LaunchArgumentError(f"cannot read the tensor descriptor type {signature}")
    rank = int(match.group(2) or match.group(1).count(",") + 1)
    extents = [
        *(Slot("q", f"{value}.shape[{axis}]") for axis in range(rank)),
        *(Slot("q", f"{value}.strides[{axis}]") for axis in range(rank)),
    ]
    yield Slot("q", f"pointer({value}.base)")
    yield from extents
    yield Slot("q", f"{value}.padding == 'nan'")
    yield Slot("q", f"getattr({value}, 'round_f32_to_tf32', False)")
    yield from extents


def _slots(signature: Signature, value: str) -> Iterator[Slot]:
    if isinstance(signature, tuple):
        for index, part in enumerate(signature):
            yield from _slots(part, f"{value}[{index}]")
    elif signature == "constexpr":
        return
    elif signature.startswith("*"):
        yield Slot(
            "q",
            f"({value}.data_ptr() if {value}.__class__ in tensors and {value}.is_cpu else pointer({value}))",
        )
    elif signature.startswith("tensordesc"):
        yield from _descriptor_slots(signature, value)
    elif signature == "bf16":
        yield Slot(_SLOT_FORMATS["bf16"], f"bfloat16_bits({value})")
    elif signature in _SLOT_FORMATS:
        yield Slot(_SLOT_FORMATS[signature], value)
    else:
        raise LaunchArgumentError(f"kernel arguments of type {signature} are not supported")


def argument_packer(names: list[str], signatures: list[Signature]) -> Packer:
    """Function (address, grid x, grid y, grid z, *arguments) -> launch record for kernels of one signature.

    The function is compiled for the signature, because every launch pays for it. Compile-time constants are
    passed like other arguments and take no slot.
    """
    import torch

    arguments = [f"a{index}" for index in range(len(signatures))]
    slots = [slot for part, value in zip(signatures, arguments, strict=True) for slot in _slots(part, value)]
    record = struct.Struct(HEADER + "".join(slot.format for slot in slots))
    head = ["function", "grid_x", "grid_y", "grid_z"]
    values = [*head, str(record.size), *(slot.value for slot in slots)]
    source = f"def pack({', '.join(head + arguments)}):\n    return record({', '.join(values)})\n"
    scope: dict[str, Any] = {
        "record": record.pack,
        "tensors": frozenset((torch.Tensor, torch.nn.Parameter)),
        "pointer": pointer,
        "bfloat16_bits": bfloat16_bits,
    }
    exec(compile(source, "<launch record>", "exec"), scope)
    return _with_clear_errors(scope["pack"], names, signatures)


def _with_clear_errors(pack: Packer, names: list[str], signatures: list[Signature]) -> Packer:
    def packed(*arguments: Any) -> bytes:
        try:
            return pack(*arguments)
        except (struct.error, OverflowError, TypeError, AttributeError) as error:
            if isinstance(error, LaunchArgumentError):
                raise
            grid, values = arguments[1:4], arguments[4:]
            described = ", ".join(
                f"{name}: {part} = {value!r:.40}"
                for name, part, value in zip(names, signatures, values, strict=False)
                if part != "constexpr"
            )
            raise LaunchArgumentError(f"cannot launch on grid {grid} with ({described}): {error}") from error

    return packed
