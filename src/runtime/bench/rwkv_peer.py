"""The `rwkv` package in the benchmark, on an official `.pth` file. Variants: its strategies for a CPU, "cpu fp32" and
"cpu bf16". It knows no batches."""

import os
from importlib.metadata import version

os.environ |= {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}  # read when it is imported
import torch
from rwkv.model import RWKV_x070

from runtime.bench.measure import main
from runtime.bench.spec import Spec


class RwkvRunner:
    def __init__(self, spec: Spec) -> None:
        torch.set_num_threads(spec.threads)
        self.version = f"rwkv {version('rwkv')}, torch {torch.__version__}"
        self._model = RWKV_x070(spec.model.removesuffix(".pth"), spec.variant)
        self._state: list[torch.Tensor] = []
        self._next = 0

    def prefill(self, prompts: list[list[int]]) -> None:
        if len(prompts) > 1:
            raise NotImplementedError
        logits, self._state = self._model.forward(list(prompts[0]), None)
        self._next = int(logits.argmax())

    def decode(self, steps: int) -> None:
        for _ in range(steps):
            logits, self._state = self._model.forward(self._next, self._state)
            self._next = int(logits.argmax())

    def predictions(self, tokens: list[int]) -> list[int]:
        logits, _ = self._model.forward(list(tokens), None, full_output=True)
        return logits.argmax(-1).tolist()

    def notes(self) -> list[str]:
        return []


if __name__ == "__main__":
    main(RwkvRunner)
