"""transformers in the benchmark: eager, on the file's dequantised weights. Variants: "float32", "bfloat16".

transformers opens a GGUF file slowly and holds it twice meanwhile, so a first process leaves a plain copy in
the cache folder and the measured one loads that.
"""

import os
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import transformers

from runtime.bench.measure import main
from runtime.bench.spec import Spec


class TransformersRunner:
    def __init__(self, spec: Spec) -> None:
        torch.set_num_threads(spec.threads)
        torch.set_grad_enabled(False)
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}"
        copy = Path(spec.cache_dir) / f"{Path(spec.model).stem}-transformers"
        if not (copy / "config.json").exists():
            subprocess.run([sys.executable, "-m", __spec__.name, "convert", spec.model, copy], check=True)
        dtype = getattr(torch, spec.variant)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(copy, dtype=dtype).eval()
        self._cache = transformers.DynamicCache(config=self._model.config)
        self._next = torch.empty(0)

    def prefill(self, prompts: list[list[int]]) -> None:
        self._cache = transformers.DynamicCache(config=self._model.config)
        self._step(torch.tensor(prompts))

    def decode(self, steps: int) -> None:
        for _ in range(steps):
            self._step(self._next)

    def predictions(self, tokens: list[int]) -> list[int]:
        return self._model(torch.tensor([tokens])).logits[0].argmax(-1).tolist()

    def notes(self) -> list[str]:
        return []

    def _step(self, ids: torch.Tensor) -> None:
        output = self._model(ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._next = output.logits[:, -1:].argmax(-1)


def convert(source: str, target: str) -> None:
    """Writes a dequantised f32 copy of a GGUF file that transformers loads quickly."""
    folder, name = os.path.split(source)
    opened = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = opened.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights are plain by now; with it, saving is refused
    plain = type(opened)(config).float()
    plain.load_state_dict(opened.state_dict())
    partial = f"{target}.part"
    plain.save_pretrained(partial)
    os.rename(partial, target)


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:])
    else:
        main(TransformersRunner)
