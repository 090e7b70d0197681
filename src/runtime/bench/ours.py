"""This project in the benchmark: the whole engine, as a run drives it."""

import statistics
import time
from collections import defaultdict
from typing import NamedTuple

import torch

from kernels.launch_graph import LaunchGraph
from model.sequence_step import SequenceStep
from runtime.assembly import assemble
from runtime.bench.measure import main
from runtime.bench.spec import Spec
from runtime.config import RunConfig
from runtime.request import Request
from runtime.typed_config import read_config

NEW_TOKENS = 256  # more than any case decodes
MAX_CONTEXT = 1024


class DecodeTime(NamedTuple):
    """Seconds of some decode steps: in all, and inside the model's replayed kernels."""

    steps: int
    seconds: float
    replay_seconds: float


class OurRunner:
    def __init__(self, spec: Spec) -> None:
        self.version = f"torch {torch.__version__}"
        self._assembly = assemble(_settings(spec))
        self._engine = self._assembly.engine()
        self._times: dict[int, list[DecodeTime]] = defaultdict(list)  # by batch size

    def prefill(self, prompts: list[list[int]]) -> None:
        self._engine.cancel_all()
        for prompt in prompts:
            self._engine.submit(Request(tuple(prompt), NEW_TOKENS))
        self._engine.step()
        assert not self._engine.scheduler.waiting, "all prompts fit into one step"

    def decode(self, steps: int) -> None:
        timing, start = self._assembly.executor.replay_timing, time.perf_counter()
        steps_before, replay_before = timing.steps, timing.replay_seconds
        for _ in range(steps):
            self._engine.step()
        seconds, replay = time.perf_counter() - start, timing.replay_seconds - replay_before
        if timing.steps - steps_before == steps:  # the very first step of a batch size is not a replay
            self._times[len(self._engine.scheduler.running)].append(DecodeTime(steps, seconds, replay))

    def predictions(self, tokens: list[int]) -> list[int]:
        executor = self._assembly.executor
        blocks = range(-(-len(tokens) // executor.cache.block_size))
        step = SequenceStep(tokens, 0, blocks, len(tokens))
        return executor.step([step]).argmax(-1).tolist()

    def notes(self) -> list[str]:
        """What a decode step spends outside of kernels: scheduling, tensors, launching, sampling's Python,
        text."""
        return [self._step_cost(batch, times) for batch, times in sorted(self._times.items())]

    def _step_cost(self, batch: int, times: list[DecodeTime]) -> str:
        step = statistics.median(time.seconds / time.steps for time in times) * 1e3
        kernels = statistics.median(time.replay_seconds / time.steps for time in times) * 1e3
        kernels += self._argmax_seconds(batch) * 1e3
        return (
            f"decode step at batch {batch}: {step:.2f} ms, kernels {kernels:.2f} ms, "
            f"Python {step - kernels:.2f} ms ({(step - kernels) / step:.1%})"
        )

    def _argmax_seconds(self, batch: int) -> float:
        """The one kernel of a step that is launched from Python, without its launch."""
        logits = torch.randn(batch, self._assembly.loaded.config.vocab_size)
        out = torch.empty(batch, dtype=torch.int32)

        def choose() -> None:
            self._assembly.ops.argmax(logits, out)

        graph = LaunchGraph(choose, "compiled", logits.device)
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            graph.replay()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)


def _settings(spec: Spec) -> RunConfig:
    dtype, weights = spec.variant.split(",")
    return read_config(
        RunConfig,
        {
            "model": {
                "source": spec.model,
                "sha256": None,
                "cache_dir": None,
                "max_context": MAX_CONTEXT,
                "dtype": dtype,
                "weights": weights,
            },
            "decoder": {"name": "greedy"},
            "speculation": {"name": "none"},
            "grammar": {"name": "none"},
            "batching": {
                "name": "continuous",
                "token_budget": 4096,
                "max_sequences": max(case.batch for case in spec.cases),
                "max_waiting": None,
                "order": "arrival",
            },
            "cache": {
                "block_size": 32,
                "blocks": None,
                "memory_mib": 1024,
                "dtype": dtype,
                "state_log": 0,
                "prefix": "none",  # the same prompts come again and again
                "eviction": "lru",
                "snapshot_gap": 16,
                "handle_seconds": None,
            },
            "kernels": {"backend": "compiled", "device": "cpu", "threads": spec.threads, "invariant": False},
            "workload": {
                "name": "prompts",
                "prompts": [],
                "max_new_tokens": NEW_TOKENS,
                "stop": [],
                "chat_template": False,
                "system": None,
            },
            "tracking": {"name": "none"},
        },
    )


if __name__ == "__main__":
    main(OurRunner)
