"""Looks for documents that the parser, the validator or a drawing cannot take.

    python experiments/fuzz_dag.py --minutes 10 [--seed N] [--folder DIR]

Real documents are cut, mixed and repeated, in lines, in YAML values and in bytes. What raises, or takes longer than a
second of processor time, is written to the folder, with the error behind it. Ends with 1 if there was any.
"""

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runtime.dag.document.drawing import draw_text
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import parse_document
from runtime.dag.document.validator import validate

ROOT = Path(__file__).parents[1]
SECONDS = 1.0
LONGEST = 200_000  # characters of a mutant, but for one in some hundreds
TOOLS = {"calculate": frozenset(("sum",)), "native_inference_core": frozenset(("text_generation",))}
TOKENS = (
    *(
        "{{",
        "}}",
        "{% if %}",
        "{#",
        "$.",
        "`",
        "```",
        "~~~",
        "'",
        '"',
        "- ",
        ": ",
        "|",
        ">",
        "&a ",
        "*a",
        "!!int ",
        "? ",
    ),
    *("<<: ", "---", "[", "]", "{", "}", "#", "\t", "\r", "\x00", "\x85", "\u2028", "\ud800", "\ufeff", "<!--", "-->"),
    *(
        "@v1",
        "@^1.0",
        "@latest",
        "/self/",
        "../",
        "?a=b",
        "→ k:",
        "; k:",
        "null",
        "true",
        "1e999",
        "-1",
        "0x",
        "9" * 400,
    ),
    *("next: ", "nodes:", "type: ", "wait_for: ", "requires: ", "entry: ", "### AgenticDSL `/a`\n"),
    *("# --- BEGIN AgenticDSL ---\n", "# --- END AgenticDSL ---\n"),
)
Mutation = Callable[[random.Random, str, list[str]], str]


def replace_piece(chance: random.Random, text: str, texts: list[str]) -> str:
    a, b = _span(chance, text)
    return text[:a] + chance.choice((*TOKENS, "", chr(chance.randrange(0x110000)))) + text[b:]


def repeat_piece(chance: random.Random, text: str, texts: list[str]) -> str:
    a, b = _span(chance, text)
    times = 2 ** chance.randrange(1, 14)
    return text[:b] + text[a:b] * min(times, 1 + LONGEST // max(1, b - a)) + text[b:]


def splice(chance: random.Random, text: str, texts: list[str]) -> str:
    other = chance.choice(texts)
    a, b = _span(chance, other)
    at = chance.randrange(len(text) + 1)
    return text[:at] + other[a:b] + text[at:]


def move_lines(chance: random.Random, text: str, texts: list[str]) -> str:
    lines = text.split("\n")
    a, b = sorted(chance.choices(range(len(lines) + 1), k=2))
    piece, rest = lines[a:b], lines[:a] + lines[b:]
    at = chance.randrange(len(rest) + 1)
    indent = chance.choice(("", "", "  ", "- ", "\t"))
    return "\n".join([*rest[:at], *(indent + line for line in piece), *rest[at:]])


def swap_values(chance: random.Random, text: str, texts: list[str]) -> str:
    """The value of one key takes the place of another's."""
    lines = text.split("\n")
    keyed = [i for i, line in enumerate(lines) if ": " in line or line.endswith(":")]
    if keyed:
        to, of = chance.choice(keyed), chance.choice(keyed)
        lines[to] = lines[to].partition(":")[0] + ":" + lines[of].partition(":")[2]
    return "\n".join(lines)


def rename(chance: random.Random, text: str, texts: list[str]) -> str:
    """A word becomes another one of the document, wherever it stands."""
    words = text.replace("/", " ").replace(":", " ").split()
    return text.replace(chance.choice(words), chance.choice(words), 3) if words else text


def many_nodes(chance: random.Random, text: str, texts: list[str]) -> str:
    count = 2 ** chance.randrange(1, 13)
    targets = ["n{j}", "/main", "[n{j}, n{k}]", "'{{{{ $.a{i} }}}}'", "/lib/x@^{j}", "nn{i}", "/main2/n{k}"]
    fields = ["next", "wait_for", "on_error", "branches", "requires", "on_failure"]
    types = ["start", "fork", "join", "assert, condition: '{{{{ x }}}}'", "end", "llm_call, llm: {{}}"]
    shape = f"- {{{{id: n{{i}}, type: {chance.choice(types)}, {chance.choice(fields)}: {chance.choice(targets)}}}}}\n"
    step = chance.randrange(1, count + 1)
    nodes = "".join(shape.format(i=i, j=(i + 1) % count, k=i * step % count) for i in range(count))
    return text + f"\n### AgenticDSL `{chance.choice(('/main', '/main2', '/lib/x@v1'))}`\n```yaml\nnodes:\n{nodes}```\n"


def change_bytes(chance: random.Random, text: str, texts: list[str]) -> str:
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(chance.randrange(1, 20)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)
    return data.decode("utf-8", "replace")


MUTATIONS: tuple[Mutation, ...] = (
    *(replace_piece, replace_piece, repeat_piece, splice, move_lines, swap_values, swap_values, rename, many_nodes),
    change_bytes,
)


def _span(chance: random.Random, text: str) -> tuple[int, int]:
    """Mostly a short one."""
    a = chance.randrange(len(text) + 1)
    return a, min(len(text), a + int(2 ** (chance.random() * 11)) - 1)


def mutant(chance: random.Random, texts: list[str]) -> str:
    text = chance.choice(texts)
    longest = 5 * LONGEST if chance.random() < 0.003 else LONGEST if chance.random() < 0.05 else 20_000
    for _ in range(1 + int(chance.expovariate(0.4))):
        text = chance.choice(MUTATIONS)(chance, text, texts)[:longest]
    return text


@dataclass
class Fuzzer:
    folder: Path
    chance: random.Random
    texts: list[str]
    runs: int = 0
    found: int = 0
    slowest: float = 0.0
    slowest_text: str = ""
    known: set[str] = field(default_factory=set)

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.try_one(mutant(self.chance, self.texts))

    def try_one(self, text: str) -> None:
        begin = time.process_time()
        try:
            for level in ("tolerant", "strict"):
                document = parse_document(text, "fuzz.md", level)
                problems = validate(document, shipped_library(), TOOLS)
                draw_text(document, shipped_library())
            _check(text, [problem.line for problem in problems])
        except Exception:
            self.store(text, traceback.format_exc())
        took = time.process_time() - begin
        if took > self.slowest:
            self.slowest, self.slowest_text = took, text
        if took > SECONDS * 2:  # of two levels
            self.store(text, f"took {took:.2f} s")
        self.runs += 1

    def store(self, text: str, why: str) -> None:
        """One document for each place that fails."""
        place = why.strip().split("\n")[-3:] if "\n" in why else ["slow"]
        name = hashlib.sha256("\n".join(place).encode("utf-8", "replace")).hexdigest()[:12]
        self.found += 1
        if name in self.known:
            return
        self.known.add(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.md").write_bytes(text.encode("utf-8", "surrogatepass"))
        (self.folder / f"{name}.txt").write_bytes(why.encode("utf-8", "replace"))
        print(f"{self.folder / name}.md: {why.strip().splitlines()[-1]}", flush=True)


def _check(text: str, lines: list[int]) -> None:
    most = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    if not all(0 <= line <= most for line in lines):
        raise AssertionError(f"a problem in line {max(lines)} of {most}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz_dag"))
    arguments = parser.parse_args()
    places = (*ROOT.glob("src/runtime/dag/library/**/*.md"), *ROOT.glob("tests/runtime/dag/documents/*.md"))
    texts = [path.read_text("utf-8") for path in sorted(places)]
    fuzzer = Fuzzer(arguments.folder, random.Random(arguments.seed), texts)
    begin = time.monotonic()
    try:
        fuzzer.run(60 * arguments.minutes)
    except KeyboardInterrupt:
        print()
    took = max(time.monotonic() - begin, 1e-9)
    print(
        f"{fuzzer.runs} documents from {len(texts)} real ones, {fuzzer.runs / took:.0f} a second; seed {arguments.seed}"
    )
    print(f"slowest: {fuzzer.slowest:.2f} s at {len(fuzzer.slowest_text)} characters; {fuzzer.found} failures")
    return 1 if fuzzer.found else 0


if __name__ == "__main__":
    sys.exit(main())
