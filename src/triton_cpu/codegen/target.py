"""The machine that code is generated for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What the code generator needs to know of it."""

    vector_bits: int = 512
    vector_registers: int = 32
    has_masks: bool = True  # loads and stores of some lanes of any type, at the speed of those of all
    bf16_dot: bool = False
    bf16_tiles: bool = False  # products of tiles of bf16 (AMX)
    bf16_rounding: bool = False  # from f32, in one instruction: for others LLVM calls a function that nobody links
    fp_fusion: bool = True  # may a * b + c be one rounding

    @property
    def lanes(self) -> int:
        """Of 32 bits, in a vector."""
        return max(1, self.vector_bits // 32)
