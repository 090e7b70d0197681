"""A tiny random RWKV-7, written in every format that it can come in."""

import json
from pathlib import Path

import gguf
import torch
from gguf import GGMLQuantizationType as T
from gguf.quants import quantize
from safetensors.torch import save_file
from torch import Tensor

LAYERS, WIDTH, HEAD, FFN, VOCABULARY = 2, 128, 64, 160, 263
RANKS = {"w": 32, "a": 32, "v": 16, "g": 64}
NORMS = ("ln1", "ln2", "att.ln_x")
BRANCH_NAMES = {"0": "2.bias", "1": "0.weight", "2": "2.weight"}


def tiny_rwkv7(seed: int = 0, vocabulary: int = VOCABULARY) -> dict[str, Tensor]:
    """All tensors under their published names, f32."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, mean: float = 0.0, scale: float = 1.0) -> Tensor:
        return mean + scale * torch.randn(shape, generator=generator)

    tensors = {"emb.weight": normal(vocabulary, WIDTH), "head.weight": normal(vocabulary, WIDTH, scale=0.3)}
    for name in ("ln_out", "blocks.0.ln0", *(f"blocks.{i}.{norm}" for i in range(LAYERS) for norm in NORMS)):
        tensors |= {f"{name}.weight": normal(WIDTH, mean=1, scale=0.2), f"{name}.bias": normal(WIDTH, scale=0.2)}
    for i in range(LAYERS):
        att, ffn = f"blocks.{i}.att", f"blocks.{i}.ffn"
        tensors |= {f"{att}.x_{x}": torch.rand(1, 1, WIDTH, generator=generator) for x in "rwkvag"}
        for x, rank in RANKS.items():
            tensors[f"{att}.{x}1"] = normal(WIDTH, rank, scale=0.1)
            tensors[f"{att}.{x}2"] = normal(rank, WIDTH, scale=0.3)
            if x != "g":
                tensors[f"{att}.{x}0"] = normal(1, 1, WIDTH)
        tensors[f"{att}.k_k"] = normal(1, 1, WIDTH, mean=0.8, scale=0.1)
        tensors[f"{att}.k_a"] = normal(1, 1, WIDTH, mean=1, scale=0.1)
        tensors[f"{att}.r_k"] = normal(WIDTH // HEAD, HEAD, scale=0.2)
        for name in ("receptance", "key", "value", "output"):
            tensors[f"{att}.{name}.weight"] = normal(WIDTH, WIDTH, scale=0.12)
        tensors[f"{ffn}.x_k"] = torch.rand(1, 1, WIDTH, generator=generator)
        tensors[f"{ffn}.key.weight"] = normal(FFN, WIDTH, scale=0.12)
        tensors[f"{ffn}.value.weight"] = normal(WIDTH, FFN, scale=0.1)
    return tensors


def write_pth(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, path)
    return path


def write_fla(folder: Path, tensors: dict[str, Tensor], fused: bool = False) -> Path:
    """A Hugging Face folder; fused: the mixes of a layer in one tensor, as the first version had them."""
    folder.mkdir()
    hub = {fla_name(name): fla_layout(name, tensor) for name, tensor in tensors.items()}
    for i in range(LAYERS):
        prefix = f"model.layers.{i}.attn"
        if fused:
            hub[f"{prefix}.x_x"] = torch.cat([hub.pop(f"{prefix}.x_{x}") for x in "rwkvag"]).squeeze(1)
    for idle in ("v_lora.lora.0.weight", "v_lora.lora.2.weight", "v_lora.lora.2.bias"):
        del hub[f"model.layers.0.attn.{idle}"]
    save_file({name: tensor.contiguous() for name, tensor in hub.items()}, folder / "model.safetensors")
    config = {"model_type": "rwkv7", "norm_eps": 1e-5, "head_dim": HEAD, "hidden_size": WIDTH}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def fla_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] != "blocks":
        return {"emb": "model.embeddings", "ln_out": "model.norm", "head": "lm_head"}[parts[0]] + f".{parts[1]}"
    if parts[2] in ("ln0", "ln1", "ln2"):
        parts[2] = {"ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm"}[parts[2]]
    elif parts[2] == "att":
        parts[2] = "attn"
        if parts[3] in ("receptance", "key", "value", "output", "ln_x"):
            parts[3] = "g_norm" if parts[3] == "ln_x" else f"{parts[3][0]}_proj"
        elif len(parts[3]) == 2:
            parts[3] = f"{parts[3][0]}_lora.lora.{BRANCH_NAMES[parts[3][1]]}"
    return "model.layers." + ".".join(parts[1:])


def fla_layout(name: str, tensor: Tensor) -> Tensor:
    if name[-2:] in ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"):
        return tensor.t()
    return tensor if ".x_" in name and ".att." in name else tensor.squeeze()


def write_gguf(
    path: Path,
    tensors: dict[str, Tensor],
    stored: T = T.F32,
    pieces: list[bytes] | None = None,
    template: str | None = None,
) -> Path:
    """As llama.cpp's converter lays it out; matrices are `stored` where their rows are whole blocks, decays f32."""
    writer = gguf.GGUFWriter(path, "rwkv7")
    writer.add_block_count(LAYERS)
    writer.add_context_length(1048576)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FFN)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(HEAD)
    if pieces is not None:
        writer.add_tokenizer_model("rwkv")
        writer.add_token_list([repr(piece)[2:-1] for piece in pieces])
        writer.add_token_types([3] + [1] * (len(pieces) - 1))
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(0)
    if template is not None:
        writer.add_chat_template(template)

    def put(name: str, tensor: Tensor) -> None:
        data = tensor.contiguous().numpy()
        kept = data.ndim != 2 or name.endswith(("w1.weight", "w2.weight")) or data.shape[1] % 32
        writer.add_tensor(name, data if kept else quantize(data, stored), raw_dtype=T.F32 if kept else stored)

    put("token_embd.weight", tensors["emb.weight"])
    put("output.weight", tensors["head.weight"])
    for kind in ("weight", "bias"):
        put(f"token_embd_norm.{kind}", tensors[f"blocks.0.ln0.{kind}"])
        put(f"output_norm.{kind}", tensors[f"ln_out.{kind}"])
    for i in range(LAYERS):
        att, ffn, blk = f"blocks.{i}.att", f"blocks.{i}.ffn", f"blk.{i}"
        for kind in ("weight", "bias"):
            put(f"{blk}.attn_norm.{kind}", tensors[f"blocks.{i}.ln1.{kind}"])
            put(f"{blk}.attn_norm_2.{kind}", tensors[f"blocks.{i}.ln2.{kind}"])
            put(f"{blk}.time_mix_ln.{kind}", tensors[f"{att}.ln_x.{kind}"])
        put(f"{blk}.time_mix_lerp_fused.weight", torch.stack([tensors[f"{att}.x_{x}"] for x in "rwkvag"]))
        for x in RANKS:
            source = "a" if (x, i) == ("v", 0) else x  # what stands in for the branch that the first layer lacks
            if x != "g":
                put(f"{blk}.time_mix_{x}0.weight", tensors[f"{att}.{source}0"].flatten())
            for j in "12":
                put(f"{blk}.time_mix_{x}{j}.weight", tensors[f"{att}.{source}{j}"].t())
        for name in ("k_k", "k_a", "r_k"):
            put(f"{blk}.time_mix_{name}.weight", tensors[f"{att}.{name}"].flatten())
        for name in ("receptance", "key", "value", "output"):
            put(f"{blk}.time_mix_{name}.weight", tensors[f"{att}.{name}.weight"])
        put(f"{blk}.channel_mix_lerp_k.weight", tensors[f"{ffn}.x_k"])
        put(f"{blk}.channel_mix_key.weight", tensors[f"{ffn}.key.weight"])
        put(f"{blk}.channel_mix_value.weight", tensors[f"{ffn}.value.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
