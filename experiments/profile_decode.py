"""Where the time of a decode step goes: native kernels, and Python by function.

    python experiments/profile_decode.py                                        # the default model
    python experiments/profile_decode.py model=rwkv7-4m speculation=ngram       # settings as for runtime.run

Kernels are timed where the process enters native code, so that what is left is all Python there is.
"""

import cProfile
import pstats
import statistics
import sys
import time
from dataclasses import dataclass
from random import Random

from rich.console import Console
from rich.table import Table

from runtime.assembly import Assembly, assemble
from runtime.command_line import compose_settings
from runtime.engine import Engine
from runtime.request import Request
from runtime.workload import default_sampling
from triton_cpu import launch, recorder, thread_team

BATCHES = (1, 4, 16, 32)
PROMPT_TOKENS = 64
WARM_STEPS, STEPS = 8, 60
SHOWN = 12  # functions


@dataclass
class NativeClock:
    """Seconds spent in native code."""

    seconds: float = 0.0

    def watch(self) -> None:
        """Before any kernel is loaded: times all launches from now on."""
        run = thread_team.run_records()

        def timed(records: bytes) -> None:
            start = time.perf_counter()
            run(records)
            self.seconds += time.perf_counter() - start

        for module in (launch, recorder):
            module.run_records = lambda: timed


def decoding_engine(assembly: Assembly, batch: int) -> Engine:
    """An engine in the middle of so many answers."""
    engine, random = assembly.engine(), Random(batch)
    sampling = default_sampling(assembly.config.decoder)
    for _ in range(batch):
        prompt = tuple(random.randrange(assembly.loaded.encoder.vocab_size) for _ in range(PROMPT_TOKENS))
        engine.submit(Request(prompt, WARM_STEPS + 2 * STEPS + 64, sampling=sampling))
    for _ in range(WARM_STEPS):
        engine.step()
    return engine


def step_times(engine: Engine, clock: NativeClock) -> tuple[float, float]:
    """Median seconds of a step, and of the kernels in it."""
    totals, kernels = [], []
    for _ in range(STEPS):
        start, native = time.perf_counter(), clock.seconds
        engine.step()
        totals.append(time.perf_counter() - start)
        kernels.append(clock.seconds - native)
    return statistics.median(totals), statistics.median(kernels)


def main() -> None:
    settings = [f"batching.max_sequences={max(BATCHES)}", "batching.token_budget=4096", *sys.argv[1:]]
    config = compose_settings(settings)
    clock = NativeClock()
    clock.watch()
    assembly = assemble(config)
    table = Table(title="median decode step", title_justify="left")
    for column in ("batch", "ms", "kernels ms", "Python ms", "Python"):
        table.add_column(column, justify="right")
    for batch in BATCHES:
        total, kernels = step_times(decoding_engine(assembly, batch), clock)
        share = f"{1 - kernels / total:.1%}"
        table.add_row(str(batch), *(f"{x * 1e3:.2f}" for x in (total, kernels, total - kernels)), share)
    console = Console()
    console.print(table)
    console.print("by function, at batch 16 (own seconds of all steps; profiling slows Python down)", highlight=False)
    engine, profile = decoding_engine(assembly, 16), cProfile.Profile()
    profile.runcall(lambda: [engine.step() for _ in range(STEPS)])
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(SHOWN)


if __name__ == "__main__":
    main()
