"""Triton IR text, parsed.

Triton prints its IR one operation a line with regions in braces; locations come along in what ``str(module)`` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from triton_cpu.branches import structured
from triton_cpu.ttir import UNKNOWN, Block, Function, Location, Op, TTIRSyntaxError, Type, Value


def parse_type(text: str) -> Type:
    text = text.strip()
    if text.startswith("tensor<"):
        inner = text[7:-1]
        match = re.match(r"((?:\d+x)*)(.*)", inner)
        assert match
        dims = tuple(int(d) for d in match.group(1).split("x") if d)
        elem = parse_type(match.group(2).split(",")[0] if "!" not in match.group(2) else match.group(2))
        return Type(elem.elem, dims, elem.pointee)
    if text.startswith("!tt.ptr<"):
        return Type("ptr", (), text[8:-1].split(",")[0].strip())
    return Type(text)


def split_types(text: str) -> list[str]:
    """``f32, tensor<2x!tt.ptr<f32>>`` -> its top-level parts."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char in "<({":
            depth += 1
        elif char in ")}" or (char == ">" and text[i - 1] != "-"):
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


_LOC = re.compile(r"\s*loc\((?:[^()\"]|\"[^\"]*\"|\((?:[^()\"]|\"[^\"]*\"|\([^()]*\))*\))*\)")
_ATTRIBUTES = re.compile(r"<?\{([^{}]*)\}>?")
_OPERAND = re.compile(r"%[\w.\-$]+(?:#\d+)?")
_RESULTS = re.compile(r"^(%[\w.\-$]+)(?::(\d+))?((?:, %[\w.\-$]+)*) = ")
_OP_NAME = re.compile(r'^"?([a-z_][\w.]*)"?')


class _Locations:
    """Resolves ``#loc12`` to a file and line; of nested call sites the innermost one that has a file wins."""

    def __init__(self, text: str) -> None:
        self.definitions = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)$", text, re.M))

    def resolve(self, text: str) -> Location:
        if match := re.search(r'"([^"]*)":(\d+):\d+', text):
            return Location(match.group(1), int(match.group(2)))
        for name in re.findall(r"#loc\d*", text):
            definition = self.definitions.get(name, "unknown")
            location = self.resolve(definition)
            if location is not UNKNOWN:
                return location
        return UNKNOWN


class _Parser:
    def __init__(self, text: str) -> None:
        self.locations = _Locations(text)
        self.lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#loc")]
        self.at = 0
        self.scopes: list[dict[str, Value]] = [{}]

    def fail(self, why: str) -> TTIRSyntaxError:
        return TTIRSyntaxError(f"{why}: {self.lines[self.at - 1]!r}")

    def next(self) -> tuple[str, Location]:
        line = self.lines[self.at]
        self.at += 1
        locs = _LOC.findall(line)
        return _LOC.sub("", line).strip(), self.locations.resolve(locs[-1]) if locs else UNKNOWN

    def lookup(self, name: str) -> Value:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        raise self.fail(f"{name} is not defined")

    def define(self, name: str, type: Type, op: Op | None = None, index: int = 0) -> Value:
        value = Value(name, type, op, index)
        self.scopes[-1][name] = value
        return value

    def functions(self) -> Iterator[Function]:
        while self.at < len(self.lines):
            line, _ = self.next()
            if match := re.match(r"tt\.func (?:public |private )?@([\w.$]+|\"[^\"]*\")\((.*?)\)(?: ->.*)? .*\{$", line):
                self.scopes = [{}]
                args = [
                    self.define(part.split(":", 1)[0].strip(), parse_type(_ATTRIBUTES.sub("", part.split(":", 1)[1])))
                    for part in split_types(match.group(2))
                ]
                blocks = {"entry": Block(args)}
                self.block(blocks["entry"], blocks)
                yield Function(match.group(1).strip('"'), args, structured(blocks))

    def block(self, block: Block, blocks: dict[str, Block] | None = None) -> tuple[str, Location]:
        """Fills ``block`` (and those that follow it in a function, by label) up to the closing brace.

        Returns what follows the brace on that line.
        """
        while True:
            line, location = self.next()
            if line.startswith("}"):
                return line[1:].strip(), location
            if line.startswith("^"):
                match = re.match(r"(\^\w+)(?:\((.*)\))?:", line)
                assert match
                if blocks is not None:
                    block = blocks[match.group(1)] = Block()
                for part in split_types(match.group(2) or ""):
                    name, type = part.split(":", 1)
                    block.args.append(self.define(name.strip(), parse_type(type)))
                continue
            block.ops.append(self.operation(line, location))

    def region(self, op: Op, args: list[tuple[str, Type]] = []) -> tuple[str, Location]:  # noqa: B006
        self.scopes.append({})
        block = Block()
        block.args = [self.define(name, type) for name, type in args]
        op.regions.append(block)
        rest = self.block(block)
        self.scopes.pop()
        if op.name in ("scf.for", "scf.if") and not (block.ops and block.ops[-1].name == "scf.yield"):
            block.ops.append(Op("scf.yield", []))  # printed only where it carries values
        return rest

    def operation(self, line: str, location: Location) -> Op:
        names: list[str] = []
        if match := _RESULTS.match(line):
            count = int(match.group(2) or 1)
            names = [match.group(1)] if count == 1 else [f"{match.group(1)}#{i}" for i in range(count)]
            names += [name.strip() for name in match.group(3).split(",") if name.strip()]
            line = line[match.end() :]
        match = _OP_NAME.match(line)
        if not match:
            raise self.fail("not an operation")
        op = Op(match.group(1), [], location=location)
        rest = line[match.end() :].strip()
        if op.name == "arith.constant":
            types = [self.constant(op, rest)]
        elif op.name.startswith("scf.") and op.name not in ("scf.yield", "scf.condition"):
            types = self.control(op, rest)
        elif rest.endswith("({"):
            types = self.with_region(op, rest)
        else:
            types = self.plain(op, rest)
        if len(types) != len(names):
            raise self.fail(f"{op.name} has {len(names)} results but {len(types)} result types")
        op.results = [self.define(name, type, op, i) for i, (name, type) in enumerate(zip(names, types, strict=True))]
        return op

    def constant(self, op: Op, rest: str) -> Type:
        rest = re.sub(r"^\{[^{}]*\}\s*", "", rest)
        if rest in ("true", "false"):
            op.attributes["value"] = rest
            return Type("i1")
        literal, type = rest.rsplit(" : ", 1)
        if dense := re.match(r"dense<(.*)>$", literal):
            literal = dense.group(1)
        op.attributes["value"] = literal.strip()
        return parse_type(type)

    def attributes(self, op: Op, text: str) -> str:
        def take(match: re.Match[str]) -> str:
            for part in split_types(match.group(1)):
                key, _, value = part.partition("=")
                op.attributes[key.strip()] = value.strip()
            return ""

        return _ATTRIBUTES.sub(take, text)

    def plain(self, op: Op, rest: str) -> list[Type]:
        quoted = re.search(r'"(?:[^"\\]|\\.)*"', rest)
        if quoted:
            op.attributes["text"] = quoted.group(0)[1:-1]
            rest = rest.replace(quoted.group(0), "")
        rest = self.attributes(op, rest)
        head, _, signature = rest.rpartition(" : ") if " : " in rest else (rest, "", "")
        op.head = head.strip()
        op.operands = [self.lookup(name) for name in _OPERAND.findall(head)]
        return _result_types(op, signature.strip())

    def with_region(self, op: Op, rest: str) -> list[Type]:
        rest = self.attributes(op, rest[:-2])
        op.operands = [self.lookup(name) for name in _OPERAND.findall(rest)]
        tail, _ = self.region(op)
        signature = tail[tail.index(":") + 1 :]
        result = signature.rpartition("->")[2].strip()
        return [parse_type(t) for t in split_types(result[1:-1] if result.startswith("(") else result)]

    def control(self, op: Op, rest: str) -> list[Type]:
        types = [parse_type(t) for t in split_types(m.group(1))] if (m := re.search(r"-> \((.*?)\)\s", rest)) else []
        if op.name == "scf.for":
            return self.for_loop(op, rest, types)
        if op.name == "scf.if":
            op.operands = [self.lookup(_OPERAND.findall(rest)[0])]
            tail, _ = self.region(op)
            if tail.startswith("else"):
                self.region(op)
            return types
        if op.name == "scf.while":
            pairs = re.findall(r"(%[\w.\-$]+) = (%[\w.\-$#]+)", rest)
            op.operands = [self.lookup(init) for _, init in pairs]
            if m := re.search(r"-> (?!\()(\S+) \{", rest):
                types = [parse_type(m.group(1))]
            self.region(op, [(name, self.lookup(init).type) for name, init in pairs])
            self.region(op)
            return types
        raise self.fail(f"{op.name} is not supported")

    def for_loop(self, op: Op, rest: str, types: list[Type]) -> list[Type]:
        head = re.match(r"(unsigned )?(%[\w.\-$]+) = (%[\w.\-$#]+) to (%[\w.\-$#]+) step (%[\w.\-$#]+)", rest)
        if not head:
            raise self.fail("scf.for")
        op.head = "unsigned" if head.group(1) else ""
        pairs: list[tuple[str, str]] = []
        if "iter_args(" in rest:
            inner = rest[rest.index("iter_args(") : rest.index(") -> (")]
            pairs = re.findall(r"(%[\w.\-$]+) = (%[\w.\-$#]+)", inner)
        op.operands = [self.lookup(head.group(i)) for i in (3, 4, 5)] + [self.lookup(init) for _, init in pairs]
        args = [(head.group(2), op.operands[0].type)]
        args += [(name, self.lookup(init).type) for name, init in pairs]
        self.region(op, args)
        return types


_NO_RESULT = {
    "tt.store", "cf.br", "cf.cond_br", "tt.return", "scf.yield", "tt.reduce.return", "tt.scan.return",
    "scf.condition", "tt.assert", "tt.print", "gpu.barrier", "ttg.barrier", "llvm.intr.assume",
    "tt.descriptor_store",
}  # fmt: skip


def _result_types(op: Op, signature: str) -> list[Type]:
    if op.name in _NO_RESULT:
        return []
    if "->" in signature:
        result = signature.rpartition("->")[2].strip()
    elif " to " in signature:
        result = signature.rpartition(" to ")[2]
    elif op.name == "tt.dot":
        result = signature
    else:
        result = split_types(signature)[-1 if op.name == "arith.select" else 0]
    types = [parse_type(t) for t in split_types(result[1:-1] if result.startswith("(") else result)]
    first = types[0]
    if op.name == "tt.load":
        return [parse_type(f"tensor<{'x'.join(map(str, first.shape))}x{first.pointee}>")
                if first.shape else parse_type(first.pointee)]  # fmt: skip
    if op.name in ("arith.cmpi", "arith.cmpf"):
        return [Type("i1", first.shape)]
    if op.name == "tt.split":
        return types * 2
    return types


def parse(text: str) -> list[Function]:
    """All functions of a module, in order."""
    return list(_Parser(text).functions())
