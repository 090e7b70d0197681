"""llama-cpp-python in the benchmark, through its low-level interface: no Python between the steps but a batch
to fill.

Variants: flash attention "on" or "off", with ",no-repack" to keep the weights as they lie in the file.
"""

import ctypes
from collections.abc import Sequence

import llama_cpp
import numpy as np

from runtime.bench.measure import main
from runtime.bench.spec import Spec

FLASH_ATTENTION = {"off": 0, "on": 1}
MAX_FED = 2048  # tokens that one call may take
MICRO_BATCH = 512


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: object) -> None:
    pass


class LlamaCppRunner:
    def __init__(self, spec: Spec) -> None:
        self.version = f"llama-cpp-python {llama_cpp.__version__}"
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        attention, _, repacking = spec.variant.partition(",")
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = 0
        model_params.use_extra_bufts = repacking != "no-repack"
        self._model = llama_cpp.llama_model_load_from_file(spec.model.encode(), model_params)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {spec.model}")
        self._attention = FLASH_ATTENTION[attention]
        self._threads = spec.threads
        self._max_context = max(case.context + case.steps for case in spec.cases) // 256 * 256 + 256
        self._context, self._sequences = None, 0
        self._batch = llama_cpp.llama_batch_init(MAX_FED, 0, 1)
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._next: list[int] = []
        self._lengths: list[int] = []

    def prefill(self, prompts: list[list[int]]) -> None:
        self._clear(len(prompts))
        self._lengths = [len(prompt) for prompt in prompts]
        self._next = []
        per_call = max(1, MAX_FED // max(self._lengths))
        for first in range(0, len(prompts), per_call):
            ends = self._feed(first, prompts[first : first + per_call], [0] * per_call)
            self._next += [self._best(end) for end in ends]

    def decode(self, steps: int) -> None:
        for _ in range(steps):
            rows = self._feed(0, [[token] for token in self._next], self._lengths)
            self._next = [self._best(row) for row in rows]
            self._lengths = [length + 1 for length in self._lengths]

    def predictions(self, tokens: list[int]) -> list[int]:
        self._clear(1)
        self._feed(0, [tokens], [0], all_logits=True)
        return [self._best(row) for row in range(len(tokens))]

    def notes(self) -> list[str]:
        return []

    def _clear(self, sequences: int) -> None:
        """An empty context for so many sequences: each has a stream of its own, so one made for more is
        slower."""
        if sequences == self._sequences:
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
            return
        if self._context:
            llama_cpp.llama_free(self._context)
        params = llama_cpp.llama_context_default_params()
        params.n_seq_max, params.n_ctx = sequences, sequences * self._max_context
        params.n_batch, params.n_ubatch = MAX_FED, MICRO_BATCH
        params.n_threads = params.n_threads_batch = self._threads
        params.flash_attn_type = self._attention
        self._context, self._sequences = llama_cpp.llama_init_from_model(self._model, params), sequences

    def _feed(self, first: int, fed: list[list[int]], starts: Sequence[int], all_logits: bool = False) -> list[int]:
        """Feeds tokens to the sequences from number `first` on; returns the row of each one's last token."""
        batch, row, ends = self._batch, 0, []
        for sequence, (tokens, start) in enumerate(zip(fed, starts, strict=False), start=first):
            for offset, token in enumerate(tokens):
                batch.token[row] = token
                batch.pos[row] = start + offset
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = all_logits or offset == len(tokens) - 1
                row += 1
            ends.append(row - 1)
        batch.n_tokens = row
        if code := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode failed with code {code}")
        return ends

    def _best(self, row: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(self._context, row)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocab_size,)).argmax())


if __name__ == "__main__":
    main(LlamaCppRunner)
