"""What a server does before the first client comes."""

import time

from runtime.assembly import Assembly
from runtime.request import GREEDY, Request, SamplingParams

EVERYTHING = SamplingParams(0.7, 50, 0.9, 0.01, 1.1, 0.1, 0.1, logprobs=1)


def warm_up(assembly: Assembly) -> float:
    """Has kernels compiled, and steps captured for each size of a batch. Returns the seconds it took."""
    start = time.perf_counter()
    batching, context = assembly.config.batching, assembly.loaded.model.max_context
    tokens = assembly.loaded.encoder.encode("The quick brown fox jumps over the lazy dog.") * batching.token_budget
    long, short = (Request(tuple(tokens[: min(n, context // 2)]), 3) for n in (batching.token_budget, 4))
    assembly.warm_up([long])
    size = 1
    while size < 2 * batching.most_running:
        assembly.warm_up([short] * min(size, batching.most_running))
        size *= 2
    assembly.warm_up([Request(short.prompt, 3, sampling=params) for params in (GREEDY, EVERYTHING)])
    return time.perf_counter() - start
