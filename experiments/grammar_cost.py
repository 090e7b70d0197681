"""What a grammar costs a decode step: steps with and without one in turn, of two engines of one model.

    python experiments/grammar_cost.py                     # the default model; settings as for runtime.run

The grammar's answers are JSON that never ends, token by token (nothing is forced), so that each step has a mask.
"""

import statistics
import sys
import time
from random import Random

from rich.console import Console
from rich.table import Table

from runtime.assembly import Assembly, assemble
from runtime.command_line import compose_settings
from runtime.engine import Engine
from runtime.grammar.grammar import Grammar
from runtime.request import Request

BATCHES = (1, 4, 16)
PROMPT_TOKENS, STEPS, TURNS = 32, 64, 4
ENDLESS = Grammar(
    "json_schema",
    '{"type": "array", "minItems": 5000, "items": {"type": "object", "properties": {"name": {"type": "string",'
    ' "maxLength": 40}, "size": {"type": "number"}, "kind": {"enum": ["river", "lake", "sea"]}},'
    ' "required": ["name", "size", "kind"], "additionalProperties": false}}',
)


def start(assembly: Assembly, batch: int, grammar: Grammar | None) -> Engine:
    engine, random = assembly.engine(), Random(batch)
    for _ in range(batch):
        prompt = tuple(random.randrange(assembly.loaded.encoder.vocab_size) for _ in range(PROMPT_TOKENS))
        stops = assembly.loaded.encoder.eos_ids if grammar else frozenset()
        engine.submit(Request(prompt, STEPS + 8, stop_tokens=stops, grammar=grammar))
    for _ in range(4):
        engine.step()
    return engine


def step_seconds(engine: Engine) -> float:
    begun = time.perf_counter()
    engine.step()
    return time.perf_counter() - begun


def paired_steps(assemblies: tuple[Assembly, Assembly], batch: int) -> list[tuple[float, float]]:
    """Seconds of steps without and with a grammar that follow each other, so that a busy machine is as busy for both;
    either is first in turn."""
    free, bound = start(assemblies[0], batch, None), start(assemblies[1], batch, ENDLESS)
    pairs = []
    for step in range(STEPS):
        if step % 2:
            seconds = step_seconds(free), step_seconds(bound)
        else:
            seconds = tuple(reversed((step_seconds(bound), step_seconds(free))))
        pairs.append(seconds)
    return pairs


def main() -> None:
    settings = ["grammar=json_schema", "grammar.source=unused", "grammar.fast_forward=false", "cache.prefix=none"]
    config = compose_settings([*settings, *sys.argv[1:]])
    assembly = assemble(config)
    assemblies = assembly, assemble(config, assembly)  # the same weights, and memory of their own
    table = Table(title="median decode step", title_justify="left")
    for column in ("batch", "without ms", "with a grammar ms", "difference"):
        table.add_column(column, justify="right")
    for batch in BATCHES:
        paired_steps(assemblies, batch)  # warms up
        pairs = [pair for _ in range(TURNS) for pair in paired_steps(assemblies, batch)]
        free, bound = (statistics.median(times) * 1e3 for times in zip(*pairs, strict=True))
        difference = statistics.median(with_grammar / without - 1 for without, with_grammar in pairs)
        table.add_row(str(batch), f"{free:.2f}", f"{bound:.2f}", f"{difference:+.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
