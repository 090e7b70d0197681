"""What a grammar costs a decode step: steps with and without one in turn, of two engines of one model.

    python experiments/grammar_cost.py                     # the default model; settings as for runtime.run
    python experiments/grammar_cost.py decoder=sampling    # drawn from likely tokens, which needs a mask in each step

The grammar's answers are JSON that never ends. First token by token, so that each step is to obey it; then with the
tokens that it forces taken at once, as is the default, so that it is tokens that compare.
"""

import statistics
import sys
import time
from random import Random
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from runtime.assembly import Assembly, assemble
from runtime.command_line import compose_settings
from runtime.engine import Engine
from runtime.events import Stepped
from runtime.grammar.grammar import Grammar
from runtime.request import Request
from runtime.workload import default_sampling

BATCHES = (1, 4, 16)
PROMPT_TOKENS, STEPS, TURNS, MOST = 32, 64, 4, 450
ENDLESS = Grammar(
    "json_schema",
    '{"type": "array", "minItems": 5000, "items": {"type": "object", "properties": {"name": {"type": "string",'
    ' "maxLength": 40}, "size": {"type": "number"}, "kind": {"enum": ["river", "lake", "sea"]}},'
    ' "required": ["name", "size", "kind"], "additionalProperties": false}}',
)


class Step(NamedTuple):
    seconds: float
    tokens: int


class Bench(NamedTuple):
    """Engines of one model: whoever measures makes one for each turn."""

    assembly: Assembly
    grammar: Grammar | None

    def start(self, batch: int) -> Engine:
        engine, random = self.assembly.engine(), Random(batch)
        encoder = self.assembly.loaded.encoder
        sampling = default_sampling(self.assembly.config.decoder)
        for seed in range(batch):
            prompt = tuple(random.randrange(encoder.vocab_size) for _ in range(PROMPT_TOKENS))
            stops = encoder.eos_ids if self.grammar else frozenset()
            engine.submit(Request(prompt, MOST, stop_tokens=stops, seed=seed, sampling=sampling, grammar=self.grammar))
        for _ in range(4):
            engine.step()
        return engine


def timed(engine: Engine) -> Step:
    begun = time.perf_counter()
    events = engine.step()
    return Step(time.perf_counter() - begun, sum(event.decode_tokens for event in events if isinstance(event, Stepped)))


def paired_steps(free: Bench, bound: Bench, batch: int) -> list[tuple[Step, Step]]:
    """Steps without and with a grammar that follow each other, so that a busy machine is as busy for both; either is
    first in turn."""
    pairs = []
    for turn in range(1 + TURNS):
        engines = free.start(batch), bound.start(batch)
        for step in range(STEPS):
            if step % 2:
                pair = timed(engines[0]), timed(engines[1])
            else:
                pair = tuple(reversed((timed(engines[1]), timed(engines[0]))))
            pairs += [pair] if turn else []  # the first warms up
    return pairs


def bench(settings: list[str], grammar: Grammar | None, base: Assembly | None) -> Bench:
    config = compose_settings([*settings, "cache.prefix=none", *sys.argv[1:]])
    return Bench(assemble(config, base), grammar)


def main() -> None:
    free = bench([], None, None)
    json = ["grammar=json_schema", "grammar.source=unused"]
    masked = bench([*json, "grammar.fast_forward=false"], ENDLESS, free.assembly)
    forcing = bench(json, ENDLESS, free.assembly)
    table = Table(title="a decode step, and what a token takes where those that are forced are taken at once")
    for column in ("batch", "without ms", "with a grammar ms", "a step", "a token"):
        table.add_column(column, justify="right")
    for batch in BATCHES:
        pairs = paired_steps(free, masked, batch)
        without, with_grammar = (
            statistics.median(step.seconds for step in steps) for steps in zip(*pairs, strict=True)
        )
        difference = statistics.median(bound.seconds / alone.seconds - 1 for alone, bound in pairs)
        seconds, tokens = (
            [sum(step[field] for step in steps) for steps in zip(*paired_steps(free, forcing, batch), strict=True)]
            for field in (0, 1)
        )
        token = seconds[1] / tokens[1] / (seconds[0] / tokens[0]) - 1
        row = f"{without * 1e3:.2f}", f"{with_grammar * 1e3:.2f}", f"{difference:+.1%}", f"{token:+.1%}"
        table.add_row(str(batch), *row)
    Console().print(table)


if __name__ == "__main__":
    main()
