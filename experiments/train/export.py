"""A trained model as a folder: weights in f16, vocabulary, configuration and a model card with what was measured."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer

from experiments.train.corpus import CORPORA, END, TURN_END
from experiments.train.evaluation import bits_per_byte
from experiments.train.llama import HEAD, NORM_EPS, ROPE_THETA, LlamaShape
from experiments.train.recipes import BATCH
from experiments.train.rwkv7 import RWKV7Shape
from experiments.train.tokens import CONTROL, compact_json
from experiments.train.trainer import Trainer

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MAX_POSITIONS = 2048


def export(folder: Path, name: str, trainer: Trainer, tokenizer: Tokenizer) -> None:
    """Write the folder. The card's figures are computed here, with the weights as they are stored."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.half().contiguous() for key, value in trainer.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    trainer.model.load_state_dict({key: value.float() for key, value in weights.items()})
    (folder / "tokenizer.json").write_text(compact_json(tokenizer), encoding="utf-8")
    ends = [CONTROL.index(END), CONTROL.index(TURN_END)]
    _write_json(folder / "config.json", _config(trainer.recipe.shape))
    _write_json(folder / "generation_config.json", {"bos_token_id": ends[0], "eos_token_id": ends})
    settings = {"bos_token": END, "eos_token": END, "chat_template": CHAT_TEMPLATE}
    _write_json(folder / "tokenizer_config.json", settings)
    figures = bits_per_byte(trainer.model, trainer.data)
    (folder / "README.md").write_text(_card(name, trainer, figures), encoding="utf-8")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _config(shape: RWKV7Shape | LlamaShape) -> dict[str, Any]:
    end = CONTROL.index(END)
    values = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.n_layers,
        "intermediate_size": shape.ffn_width,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float16",
    }
    if isinstance(shape, RWKV7Shape):
        return {"model_type": "rwkv7", "head_size": HEAD, **values}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **values,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": True,
    }


def _card(name: str, trainer: Trainer, figures: dict[str, float]) -> str:
    shape, window, learning_rate = trainer.recipe.shape, trainer.context, trainer.recipe.learning_rate
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters()) / 1e6
    seen = trainer.step * BATCH * window / 1e6
    minutes = trainer.cpu_seconds / 60
    rows = "\n".join(
        f"| {c.name} | {c.title} | {c.licence} | {c.share:.0%} | {len(trainer.data.training[c.name]) / 1e6:.2f} "
        f"| {figures[c.name]:.3f} |"
        for c in CORPORA
    )
    if isinstance(shape, RWKV7Shape):
        family = "RWKV-7, official tensor names"
        memory = f"It was trained on windows of {window} tokens; what its state carries beyond them is untested."
    else:
        family = "Llama, Hugging Face tensor names"
        memory = f"It was trained on windows of {window} tokens, and gets worse beyond (the limit is {MAX_POSITIONS})."
    return f"""---
license: mit
---
# {name}

A language model of {parameters:.2f} million parameters ({family}), in f16. One of a family of four (`rwkv7-1m`,
`rwkv7-4m`, `llama-1m`, `llama-4m`) that share one vocabulary of {shape.vocab_size} byte-level tokens, so that a small
one can draft for a large one. Made by `python -m experiments.train {name}`.

**Good for**: showing and testing an inference engine with real weights and real text, without a download.
**Not good for**: answers. It imitates the form of its texts (Python's documentation and code, plays, JSON calls); what
it says is not true, and it follows no instructions. {memory}

## Data

| corpus | what | licence | share of training | tokens there, millions | held-out bits per byte |
|---|---|---|---|---|---|
{rows}

Held-out bits per byte of all of them together: **{figures["all"]:.3f}**.

Held out are 2% of the documents of each corpus, which neither the model nor the vocabulary has seen; they are read in
windows of {window} tokens that do not see each other. One in ten training documents of the first three corpora is cut
into ChatML turns. Because of the last corpus, results on the BFCL benchmark would mean nothing.

## Training

{trainer.step} steps of {BATCH} windows of {window} tokens: {seen:.2f} million tokens, in f32. AdamW, a highest learning
rate of {learning_rate:g}, a cosine schedule over {trainer.steps} steps. It took {minutes:.0f} minutes of one
thread of a shared x86 server (AVX-512).

Licence of the weights: MIT.
"""
