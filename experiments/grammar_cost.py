"""What a grammar costs a decode step: the same steps with and without, in turn, of the same engine's models.

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
PROMPT_TOKENS, STEPS, TURNS = 32, 24, 4
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


def step_seconds(assembly: Assembly, batch: int, grammar: Grammar | None) -> list[float]:
    engine, seconds = start(assembly, batch, grammar), []
    for _ in range(STEPS):
        begun = time.perf_counter()
        engine.step()
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    settings = ["grammar=json_schema", "grammar.source=unused", "grammar.fast_forward=false", "cache.prefix=none"]
    assembly = assemble(compose_settings([*settings, *sys.argv[1:]]))
    table = Table(title="median decode step", title_justify="left")
    for column in ("batch", "without ms", "with a grammar ms", "difference"):
        table.add_column(column, justify="right")
    for batch in BATCHES:
        times: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(TURNS + 1):
            for has_grammar, seconds in times.items():
                measured = step_seconds(assembly, batch, ENDLESS if has_grammar else None)
                seconds += measured if turn else []  # the first warms up
        free, bound = (statistics.median(times[key]) * 1e3 for key in (False, True))
        table.add_row(str(batch), f"{free:.2f}", f"{bound:.2f}", f"{bound / free - 1:+.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
