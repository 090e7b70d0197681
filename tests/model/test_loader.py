"""The same weights give the same logits from GGUF and from Safetensors, in one file or in shards."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_model import CHATML, TinyFile

from kernels.ops import load_ops
from model.errors import ModelFileError
from model.executor import ModelExecutor
from model.gguf_file import GGUFFile
from model.gguf_vocabulary import vocabulary_from_gguf
from model.kv_cache import KVCache
from model.loader import LoadedModel, load_model
from model.sequence_step import SequenceStep

TOKENS = [5, 17, 250, 99, 3, 3, 42]
HUB_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def logits(loaded: LoadedModel) -> torch.Tensor:
    cache = KVCache(loaded.config, 4, 4, torch.float32, torch.device("cpu"))
    step = [SequenceStep(TOKENS, 0, [2, 1], len(TOKENS))]
    return ModelExecutor(loaded.model, cache, load_ops("reference")).step(step).clone()


def hub_tensors(file: TinyFile) -> dict[str, torch.Tensor]:
    """The tensors under their Hugging Face names, query and key rows put back from pairs to halves."""
    tensors = {}
    for name, tensor in file.tensors.items():
        if file.tiny.arch == "llama" and ("attn_q." in name or "attn_k." in name):
            tensor = (
                tensor.view(-1, file.tiny.head_dim // 2, 2, file.tiny.width)
                .transpose(1, 2)
                .reshape(tensor.shape)
            )
        parts = name.split(".")
        if parts[0] == "blk":
            name = f"model.layers.{parts[1]}.{HUB_NAMES[parts[2]]}.{parts[3]}"
        else:
            names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
            name = f"{names[parts[0]]}.weight"
        tensors[name] = tensor.contiguous()
    return tensors


def write_hub_folder(file: TinyFile, folder: Path) -> None:
    """config.json and the tokenizer of a Hugging Face folder, without weights."""
    tiny = file.tiny
    vocabulary = vocabulary_from_gguf(GGUFFile(file.path))
    vocabulary.tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "chat_template": CHATML}
        )
    )
    values = {
        "model_type": tiny.arch, "vocab_size": vocabulary.size, "hidden_size": tiny.width,
        "head_dim": tiny.head_dim,
        "num_hidden_layers": tiny.layers, "num_attention_heads": tiny.heads,
        "num_key_value_heads": tiny.kv_heads,
        "intermediate_size": tiny.ffn, "rms_norm_eps": 1e-5, "max_position_embeddings": 128,
        "rope_theta": 500.0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("variant", ["q4_0 grouped untied", "f16 biased qwen2"])
@pytest.mark.parametrize("shards", [1, 3])
def test_safetensors_agree_with_gguf(
    tiny_file: Callable[[str], TinyFile], tmp_path: Path, variant: str, shards: int
) -> None:
    file = tiny_file(variant)
    tensors = hub_tensors(file)
    write_hub_folder(file, tmp_path)
    names = list(tensors)
    files = ["model.safetensors"] if shards == 1 else [f"model-{i}.safetensors" for i in range(shards)]
    for i, shard in enumerate(files):
        save_file({name: tensors[name] for name in names[i::shards]}, tmp_path / shard)
    if shards > 1:
        weight_map = {name: files[i % shards] for i, name in enumerate(names)}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    ours, theirs = load_model(tmp_path), load_model(file.path)
    assert ours.encoder.eos_ids == theirs.encoder.eos_ids
    assert ours.chat_template is not None and theirs.chat_template is not None
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-4, atol=1e-4)


def test_packed_weights_share_the_file_map(tiny_file: Callable[[str], TinyFile]) -> None:
    packed = load_model(tiny_file("q4_0 grouped untied").path).model.weights
    opened = load_model(tiny_file("q4_0 grouped untied").path, weights="f32").model.weights
    assert packed.layers[0].down.shape == opened.layers[0].down.shape
    assert len(packed.layers[0].qkv) == 1
    assert packed.nbytes < opened.nbytes / 5
    assert len(load_model(tiny_file("mixed, partial rope").path).model.weights.layers[0].qkv) == 3


def test_a_context_beyond_the_model_is_refused(tiny_file: Callable[[str], TinyFile]) -> None:
    with pytest.raises(ModelFileError, match="a context of 129 tokens is beyond the model's limit of 128"):
        load_model(tiny_file("q4_0 grouped untied").path, max_context=129)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "cannot be read as JSON"),
        ("config.json", "[]", "does not hold a JSON object"),
        ("tokenizer.json", "{}", "tokenizer.json cannot be read"),
        ("model.safetensors", "no header", "cannot be read as Safetensors"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../x"}}', "in its own folder"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "x"}}', "cannot be read as Safetensors"),
    ],
)
def test_damaged_folders_are_reported(
    tiny_file: Callable[[str], TinyFile], tmp_path: Path, name: str, content: str, message: str
) -> None:
    file = tiny_file("f16 biased qwen2")
    write_hub_folder(file, tmp_path)
    save_file(hub_tensors(file), tmp_path / "model.safetensors")
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelFileError, match=message) as error:
        load_model(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_tensor_is_named(tiny_file: Callable[[str], TinyFile], tmp_path: Path) -> None:
    file = tiny_file("f16 biased qwen2")
    write_hub_folder(file, tmp_path)
    tensors = hub_tensors(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match=r"there is no tensor model.layers.1.mlp.up_proj.weight"):
        load_model(tmp_path)
