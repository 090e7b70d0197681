"""All requests of one kind, to one model, served in one way."""

from dataclasses import dataclass, replace

from runtime.assembly import Assembly, assemble
from runtime.comparison.clients import Clients, Turn
from runtime.comparison.events import TrialBegan
from runtime.comparison.thread import Thread
from runtime.config import NoGrammar, RunConfig, SamplingConfig
from runtime.grammar.grammar import Grammar
from runtime.request import Request
from runtime.workload import default_sampling, read_grammar

_MOST_TURNS = 1 << 16  # of a thread: seeds of its requests are next to each other


@dataclass(frozen=True)
class Trial:
    """loaded: an assembly with the model in it, which is taken from there if the settings agree."""

    model: str
    requests: str
    variant: str
    config: RunConfig
    loaded: Assembly
    threads: list[Thread]

    @property
    def name(self) -> str:
        return f"{self.model}, {self.requests}, {self.variant}"

    @property
    def warms_up(self) -> bool:
        """Whether it is served once before it is measured: kernels are compiled, and steps captured, when first met."""
        return self.config.kernels.backend == "compiled"

    @property
    def turns(self) -> int:
        return sum(len(thread.turns) for thread in self.threads)

    def assemble(self) -> Assembly:
        """The model on a new cache. Raises as `assemble` does."""
        return assemble(self.config, self.loaded)

    def check(self) -> None:
        """Raises UserError, in one line, if some request could never be served."""
        engine = self.assemble().engine()
        for number, thread in enumerate(self.threads):
            engine.submit(self.request(Turn(number, 0), thread.longest_prompt()))

    def began(self, assembly: Assembly) -> TrialBegan:
        return TrialBegan(0.0, self.model, self.requests, self.variant, assembly.executor.cache.num_blocks)

    def clients(self, assembly: Assembly) -> Clients:
        """Those who ask a new engine of the assembly."""
        return Clients(assembly.engine(), self.threads, self.request)

    def request(self, turn: Turn, prompt: tuple[int, ...]) -> Request:
        """Seeds depend on the turn only, so that variants draw alike."""
        thread, decoder = self.threads[turn.thread], self.config.decoder
        seed = decoder.seed if isinstance(decoder, SamplingConfig) else 0
        sampling = default_sampling(decoder)
        return Request(
            prompt,
            thread.new_tokens,
            stop_tokens=thread.stop_tokens,
            seed=seed + turn.thread * _MOST_TURNS + turn.turn,
            sampling=sampling if thread.temperature is None else replace(sampling, temperature=thread.temperature),
            grammar=self._grammar(thread),
            priority=thread.priority,
        )

    def _grammar(self, thread: Thread) -> Grammar | None:
        """The thread's own schema, in a run with grammars."""
        if isinstance(self.config.grammar, NoGrammar) or thread.schema is None:
            return read_grammar(self.config.grammar)
        return Grammar("json_schema", thread.schema)
