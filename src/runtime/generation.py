"""A run that generates text: prompts served together."""

from pathlib import Path

from rich.console import Console

from runtime.assembly import Assembly, assemble
from runtime.config import FileWorkload, PromptsWorkload, RunConfig
from runtime.display import make_display
from runtime.engine import Engine
from runtime.interrupt import DeferredInterrupt
from runtime.metrics import RunMetrics
from runtime.observer import Observer
from runtime.report import print_report
from runtime.request import Request
from runtime.workload import read_prompts


class Generation:
    """A Job: what is served, and by what."""

    def __init__(self, assembly: Assembly, prompts: list[str], requests: list[Request]) -> None:
        self.metrics = RunMetrics()
        self._assembly = assembly
        self._prompts = prompts
        self._requests = requests

    def warm_up(self) -> float:
        first = self._requests[: self._assembly.config.batching.max_sequences]
        return self._assembly.warm_up(first)

    def run(self, console: Console, observers: list[Observer], folder: Path) -> bool:
        with make_display(console, self._prompts) as display:
            return _serve(self._assembly.engine(), self._requests, [*observers, display])

    def report(self, console: Console) -> None:
        print_report(console, self.metrics)


def prepare_generation(config: RunConfig, workload: PromptsWorkload | FileWorkload) -> Generation:
    """Everything that can find a fault of the user's, before anything is generated or written."""
    prompts = read_prompts(workload)
    assembly = assemble(config)
    maker = assembly.requests(workload)
    requests = [maker.prompt(text, number) for number, text in enumerate(prompts)]
    engine = assembly.engine()
    for request in requests:
        engine.check(request)
    return Generation(assembly, prompts, requests)


def _serve(engine: Engine, requests: list[Request], observers: list[Observer]) -> bool:
    """Serves all requests; True if Ctrl-C ended it before."""
    for request in requests:
        engine.submit(request)
    with DeferredInterrupt() as interrupt:
        while not engine.is_idle:
            for event in engine.cancel_all() if interrupt.requested else engine.step():
                for observer in observers:
                    observer.add(event)
    return interrupt.requested
