"""Writing LLVM IR that computes on one vector of floats (or, with one lane, on one float)."""

import struct
from dataclasses import dataclass, field

Operand = str | float  # an IR value, or a number that all lanes share
IntOperand = str | int


@dataclass
class VectorCode:
    """The body of a function on vectors of `lanes` elements of `elem` ("float" or "double").

    Methods append an instruction and return its value. Products are added by `fma`, rounded once where the
    processor can.
    """

    lanes: int
    elem: str
    lines: list[str] = field(default_factory=list)

    def _vector(self, scalar: str) -> str:
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    @property
    def bits(self) -> int:
        return 32 if self.elem == "float" else 64

    @property
    def type(self) -> str:
        return self._vector(self.elem)

    @property
    def int_type(self) -> str:
        return self._vector(f"i{self.bits}")

    @property
    def suffix(self) -> str:
        """How an intrinsic's name ends for this type: "v16f32", or "f32" for one lane."""
        return f"f{self.bits}" if self.lanes == 1 else f"v{self.lanes}f{self.bits}"

    def _constant(self, scalar: str, value: str) -> str:
        return value if self.lanes == 1 else f"splat ({scalar} {value})"

    def value(self, x: Operand) -> str:
        if isinstance(x, str):
            return x
        # A float's literal is the bit pattern of the double of the same value.
        rounded = struct.unpack("<f", struct.pack("<f", x))[0] if self.elem == "float" else x
        (bits,) = struct.unpack("<Q", struct.pack("<d", rounded))
        return self._constant(self.elem, f"0x{bits:016X}")

    def int_value(self, x: IntOperand) -> str:
        return x if isinstance(x, str) else self._constant(f"i{self.bits}", str(x))

    def emit(self, instruction: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def _binary(self, opcode: str, a: Operand, b: Operand) -> str:
        return self.emit(f"{opcode} {self.type} {self.value(a)}, {self.value(b)}")

    def add(self, a: Operand, b: Operand) -> str:
        return self._binary("fadd", a, b)

    def sub(self, a: Operand, b: Operand) -> str:
        return self._binary("fsub", a, b)

    def mul(self, a: Operand, b: Operand) -> str:
        return self._binary("fmul", a, b)

    def div(self, a: Operand, b: Operand) -> str:
        return self._binary("fdiv", a, b)

    def neg(self, a: Operand) -> str:
        return self.emit(f"fneg {self.type} {self.value(a)}")

    def intrinsic(self, name: str, *operands: Operand) -> str:
        typed = ", ".join(f"{self.type} {self.value(x)}" for x in operands)
        return self.emit(f"call {self.type} @llvm.{name}.{self.suffix}({typed})")

    def fma(self, a: Operand, b: Operand, c: Operand) -> str:
        """a * b + c."""
        return self.intrinsic("fmuladd", a, b, c)

    def polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        """sum of coefficients[i] * x**i, by Horner's rule."""
        total: Operand = coefficients[-1]
        for coefficient in reversed(coefficients[:-1]):
            total = self.fma(total, x, coefficient)
        return self.value(total)

    def compare(self, predicate: str, a: Operand, b: Operand) -> str:
        """Predicates of LLVM's fcmp: the ordered ones are false for NaN, the unordered ones true."""
        return self.emit(f"fcmp {predicate} {self.type} {self.value(a)}, {self.value(b)}")

    def select(self, condition: str, a: Operand, b: Operand) -> str:
        mask = f"{self._vector('i1')} {condition}"
        return self.emit(f"select {mask}, {self.type} {self.value(a)}, {self.type} {self.value(b)}")

    def at_least(self, x: str, low: float) -> str:
        """max(x, low) that keeps NaN, in one instruction on x86."""
        return self.select(self.compare("ogt", low, x), low, x)

    def at_most(self, x: str, high: float) -> str:
        """min(x, high) that keeps NaN."""
        return self.select(self.compare("olt", high, x), high, x)

    def bitcast_to_int(self, x: str) -> str:
        return self.emit(f"bitcast {self.type} {x} to {self.int_type}")

    def bitcast_to_float(self, x: str) -> str:
        return self.emit(f"bitcast {self.int_type} {x} to {self.type}")

    def int_to_float(self, x: str) -> str:
        return self.emit(f"sitofp {self.int_type} {x} to {self.type}")

    def integer(self, opcode: str, a: IntOperand, b: IntOperand) -> str:
        """An integer instruction: add, sub, shl, ashr, and, ..."""
        return self.emit(f"{opcode} {self.int_type} {self.int_value(a)}, {self.int_value(b)}")
