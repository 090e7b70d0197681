"""From a path to a model that runs: configuration, weights, tokenizer and chat template."""

from dataclasses import dataclass
from pathlib import Path

import torch

from model.chat_template import ChatTemplate
from model.config import LlamaConfig, config_from_gguf, config_from_hub
from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.gguf_vocabulary import vocabulary_from_gguf
from model.hub_vocabulary import optional_json, token_name, vocabulary_from_hub
from model.llama import Llama
from model.safetensors_file import SafetensorsFile, read_json
from model.tensor_reader import WeightDtype
from model.token_encoder import SubwordEncoder, TokenEncoder
from model.weights import read_weights


@dataclass(frozen=True)
class LoadedModel:
    """A model with what belongs to it; chat_template is None for a model without one."""

    config: LlamaConfig
    model: Llama
    encoder: TokenEncoder
    chat_template: ChatTemplate | None


def load_model(
    path: Path,
    *,
    weights: WeightDtype = "packed",
    activations: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    max_context: int | None = None,
) -> LoadedModel:
    """Load a GGUF file, a `.safetensors` file (or its index), or the folder of a Safetensors checkpoint.

    weights: how matrices lie in memory, see `read_weights`; activations: the type of everything between them;
    max_context: the longest sequence that will come, in tokens (default: the model's limit).
    Raises ModelFileError with one line if the file is missing, damaged or not supported.
    """
    device = torch.device(device)
    if path.is_dir() or ".safetensors" in path.name:
        return _load_hub(path, weights, activations, device, max_context)
    file = GGUFFile(path)
    config = config_from_gguf(file)
    encoder = SubwordEncoder(vocabulary_from_gguf(file))
    template = None
    if source := file.get("tokenizer.chat_template", str, ""):
        pieces = file.get("tokenizer.ggml.tokens", list)
        eos = file.get("tokenizer.ggml.eos_token_id", int, -1)
        bos_name = "" if encoder.bos_id is None else pieces[encoder.bos_id]
        template = ChatTemplate(source, bos_name, pieces[eos] if eos >= 0 else "")
    read = read_weights(file, config, weights, device)
    return LoadedModel(config, Llama(config, read, activations, device, max_context), encoder, template)


def _load_hub(
    path: Path, weights: WeightDtype, activations: torch.dtype, device: torch.device, max_context: int | None
) -> LoadedModel:
    if not path.exists():
        raise ModelFileError(f"model file {path} does not exist")
    folder = path if path.is_dir() else path.parent
    config = config_from_hub(read_json(folder / "config.json"))
    encoder = SubwordEncoder(vocabulary_from_hub(folder))
    settings = optional_json(folder / "tokenizer_config.json")
    source = settings.get("chat_template")
    if (folder / "chat_template.jinja").exists():
        source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    template = None
    if isinstance(source, str):
        bos, eos = token_name(settings, "bos_token"), token_name(settings, "eos_token")
        template = ChatTemplate(source, bos or "", eos or "")
    read = read_weights(SafetensorsFile(path), config, weights, device)
    return LoadedModel(config, Llama(config, read, activations, device, max_context), encoder, template)
