"""Repetition, presence and frequency penalties, and logit bias."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from kernels.ops import Ops
from runtime.request import SamplingParams
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence


class _History:
    """What tokens a sequence has, counted as they come."""

    def __init__(self, sequence: Sequence) -> None:
        self.prompt = frozenset(sequence.request.prompt)
        self.generated: Counter[int] = Counter()
        self._counted = len(sequence.request.prompt)

    def follow(self, sequence: Sequence) -> None:
        self.generated.update(sequence.tokens[self._counted :])
        self._counted = len(sequence.tokens)


class Penalties:
    """Changes logits in place, before anything else looks at them. Definitions: OpenAI's API reference for presence,
    frequency and bias; Keskar et al., arXiv 1909.05858 for repetition, as `transformers` applies it to both signs."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._histories: dict[int, _History] = {}

    def apply(self, logits: Tensor, entries: list[Scheduled]) -> None:
        """logits f32 [L, V]: 1 + drafts rows of each entry. A row counts the drafts before it as if they were kept."""
        if not any([entry.sequence.request.sampling.adjusts_logits for entry in entries]):
            return
        parts: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
        row = 0
        for entry in entries:
            params = entry.sequence.request.sampling
            if params.adjusts_logits:
                history = self._histories.setdefault(entry.sequence.id, _History(entry.sequence))
                history.follow(entry.sequence)
                for i in range(1 + entry.drafts):
                    generated = history.generated + Counter(entry.guesses[:i]) if i else history.generated
                    parts.append((row + i, *_adjustments(params, history.prompt, generated)))
            row += 1 + entry.drafts
        rows = np.repeat([part[0] for part in parts], [len(part[1]) for part in parts]).astype(np.int32)
        columns = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
        arrays = (torch.from_numpy(array).to(logits.device) for array in (rows, *columns))
        self._ops.adjust_logits(logits, *arrays)

    def forget(self, sequence: Sequence) -> None:
        self._histories.pop(sequence.id, None)


def _adjustments(
    params: SamplingParams, prompt: frozenset[int], generated: Counter[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens i32 [E], the factors f32 [E] by which their logits come closer to nothing, and what is added, f32 [E]."""
    bias = dict(params.logit_bias)
    repeats = params.repetition_penalty != 1.0
    tokens = list({*generated, *bias, *(prompt if repeats else ())})
    counts = np.array([generated[token] for token in tokens], np.float32)
    offsets = np.array([bias.get(token, 0.0) for token in tokens], np.float32)
    offsets -= params.presence_penalty * (counts > 0) + params.frequency_penalty * counts
    factors = np.ones(len(tokens), np.float32)
    if repeats:
        seen = np.array([token in prompt for token in tokens], bool) | (counts > 0)
        factors[seen] = params.repetition_penalty
    return np.array(tokens, np.int32), factors, offsets
