"""What the code generator refuses, with the place in the kernel's source."""

from __future__ import annotations

from triton_cpu.ttir import Location, Op


class UnsupportedOpError(NotImplementedError):
    """An operation (or a form of it) that this backend does not compile."""

    def __init__(self, op: Op | str, location: Location | None = None, why: str = "") -> None:
        name = op if isinstance(op, str) else op.name
        where = location if location is not None or isinstance(op, str) else op.location
        detail = f" ({why})" if why else ""
        super().__init__(f"{where}: {name} is not supported by Triton's cpu backend{detail}")
