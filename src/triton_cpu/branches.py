"""Blocks that branch to each other, turned into structured conditionals."""

from __future__ import annotations

import re

from triton_cpu.ttir import Block, Op, TTIRSyntaxError, Value

_LABEL = re.compile(r"\^\w+")


def structured(blocks: dict[str, Block]) -> Block:
    """A function's blocks as one, branches as ``scf.if``: what an early return leaves behind is a tree.

    Raises TTIRSyntaxError where two branches meet again.
    """
    entered: dict[str, int] = {}
    for block in blocks.values():
        for label in _LABEL.findall(block.ops[-1].head) if block.ops else []:
            entered[label] = entered.get(label, 0) + 1
    renamed: dict[Value, Value] = {}

    def fold(block: Block) -> Block:
        last = block.ops[-1] if block.ops else Op("tt.return")
        labels = _LABEL.findall(last.head) if last.name in ("cf.br", "cf.cond_br") else []
        if any(entered[label] > 1 for label in labels):
            raise TTIRSyntaxError(
                f"{last.location}: {last.name} is not supported by Triton's cpu backend where branches with an early "
                "return meet again: use a mask, or return at the top of the kernel"
            )
        if last.name == "cf.br":
            target = blocks[labels[0]]
            renamed.update(zip(target.args, last.operands, strict=True))
            return Block(block.args, block.ops[:-1] + fold(target).ops)
        if last.name == "cf.cond_br":
            yes, no = (blocks[label] for label in labels)
            values = iter(last.operands[1:])
            renamed.update((arg, next(values)) for arg in (*yes.args, *no.args))
            branch = Op("scf.if", last.operands[:1], regions=[fold(yes), fold(no)], location=last.location)
            return Block(block.args, [*block.ops[:-1], branch])
        return block

    def rename(block: Block) -> None:
        for op in block.ops:
            for i, operand in enumerate(op.operands):
                while operand in renamed:
                    operand = renamed[operand]
                op.operands[i] = operand
            for region in op.regions:
                rename(region)

    body = fold(blocks["entry"])
    if renamed:
        rename(body)
    return body
