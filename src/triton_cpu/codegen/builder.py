"""LLVM IR text of one function, written into nested streams.

A loop nest keeps one open stream per level. An instruction goes to the outermost level at which its operands exist, so
that what does not depend on an inner loop is computed before it: hoisting by construction. Mutable variables are
stack slots; LLVM's mem2reg turns them into registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

Stream: TypeAlias = "list[str | Stream]"


def flatten(stream: Stream, into: list[str]) -> list[str]:
    for item in stream:
        if isinstance(item, str):
            into.append(item)
        else:
            flatten(item, into)
    return into


class Builder:
    def __init__(self) -> None:
        self.entry: Stream = []  # stack slots, argument loads
        self.body: Stream = []
        self.levels: list[Stream] = [self.body]
        self.metadata = ['!0 = !{!"llvm.loop.unroll.disable"}', '!1 = !{!"llvm.loop.vectorize.enable", i1 false}']
        self.frame_bytes = 0
        self._count = 0

    def fresh(self, prefix: str = "v") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def emit(self, instruction: str, level: int = -1) -> str:
        name = "%" + self.fresh()
        self.levels[level].append(f"  {name} = {instruction}")
        return name

    def stmt(self, instruction: str, level: int = -1) -> None:
        self.levels[level].append(f"  {instruction}")

    def label(self, name: str) -> None:
        self.levels[-1].append(f"{name}:")

    def slot(self, type: str) -> str:
        """A scalar or vector variable on the stack."""
        name = "%" + self.fresh("s")
        self.entry.append(f"  {name} = alloca {type}, align 64")
        return name

    def array(self, bytes: int) -> str:
        """``bytes`` of stack, aligned to a cache line."""
        name = "%" + self.fresh("b")
        self.entry.append(f"  {name} = alloca [{bytes} x i8], align 64")
        self.frame_bytes += bytes
        return name

    @property
    def depth(self) -> int:
        return len(self.levels) - 1

    @contextmanager
    def loop(self, count: int, step: int = 1) -> Iterator[str]:
        """A loop that runs at least once, from 0 to ``count`` (exclusive); yields its i64 counter."""
        parent = self.levels[-1]
        hoisted: Stream = []
        body: Stream = []
        slot, counter, following = self.slot("i64"), "%" + self.fresh("i"), "%" + self.fresh("i")
        head, exit_ = self.fresh("loop"), self.fresh("done")
        enter = [f"  store i64 0, ptr {slot}", f"  br label %{head}", f"{head}:"]
        parent += [hoisted, [*enter, f"  {counter} = load i64, ptr {slot}"], body]
        self.levels[-1] = hoisted
        self.levels.append(body)
        yield counter
        self.levels.pop()
        self.levels[-1] = parent
        again = "%" + self.fresh("c")
        parent.append([
            f"  {following} = add nuw nsw i64 {counter}, {step}",
            f"  store i64 {following}, ptr {slot}",
            f"  {again} = icmp ult i64 {following}, {count}",
            f"  br i1 {again}, label %{head}, label %{exit_}, !llvm.loop {self._loop_metadata()}",
            f"{exit_}:",
        ])  # fmt: skip

    def _loop_metadata(self) -> str:
        """Vectors and unrolling are chosen here: LLVM doing it again only costs compile time and cache."""
        node = f"!{len(self.metadata)}"
        self.metadata.append(f"{node} = distinct !{{{node}, !0, !1}}")
        return node

    @contextmanager
    def statements(self) -> Iterator[None]:
        """Code of a region: a stream of its own as level 0."""
        outer = self.levels
        region: Stream = []
        outer[-1].append(region)
        self.levels = [region]
        yield
        self.levels = outer
