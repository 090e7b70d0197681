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
from model.pth_file import PthFile
from model.rwkv7_config import Rwkv7Config, rwkv7_config
from model.rwkv7_model import Rwkv7
from model.rwkv7_names import FLA, find_names
from model.rwkv7_weights import read_rwkv7_weights
from model.safetensors_file import SafetensorsFile, read_json
from model.tensor_reader import TensorFile, WeightDtype, tensor_shape
from model.token_encoder import SubwordEncoder, TokenEncoder
from model.weights import read_weights
from model.world_chat import WORLD_STOP, world_chat_template
from model.world_encoder import WORLD_SIZE, WorldEncoder, world_encoder, world_encoder_from_gguf


@dataclass(frozen=True)
class LoadedModel:
    """A model with what belongs to it; chat_template is None for a model without one. stop: texts that end a turn
    where the model has no token for that."""

    config: LlamaConfig | Rwkv7Config
    model: Llama | Rwkv7
    encoder: TokenEncoder
    chat_template: ChatTemplate | None
    stop: tuple[str, ...] = ()


def load_model(
    path: Path,
    *,
    weights: WeightDtype = "packed",
    activations: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    max_context: int | None = None,
) -> LoadedModel:
    """Load a GGUF file, a `.safetensors` file (or its index), the folder of a Safetensors checkpoint, or a `.pth` file.

    weights: how matrices lie in memory, see TensorReader; activations: the type of everything between them;
    max_context: the longest sequence that will come, in tokens (default: the model's limit).
    Raises ModelFileError with one line if the file is missing, damaged or not supported.
    """
    device = torch.device(device)
    file = _open(path)
    config: LlamaConfig | Rwkv7Config
    model: Llama | Rwkv7
    if names := find_names(file):
        hub = optional_json(_folder(path) / "config.json") if names is FLA else None
        config = rwkv7_config(file, names, hub)
        encoder = _encoder(file)
        if encoder.vocab_size > config.vocab_size:
            raise ModelFileError(
                f"{path}: the tokenizer has {encoder.vocab_size} tokens, the model {config.vocab_size}"
            )
        rwkv7_weights = read_rwkv7_weights(file, names, config, weights, device)
        model = Rwkv7(config, rwkv7_weights, activations, device, max_context)
    else:
        config = _llama_config(file)
        encoder = _encoder(file)
        model = Llama(config, read_weights(file, config, weights, device), activations, device, max_context)
    stop = WORLD_STOP if isinstance(encoder, WorldEncoder) else ()
    return LoadedModel(config, model, encoder, _chat_template(file, encoder), stop)


def load_encoder(path: Path) -> TokenEncoder:
    """The tokenizer of a model that `load_model` takes, without its weights. Raises ModelFileError as that does."""
    return _encoder(_open(path))


def _open(path: Path) -> TensorFile:
    if path.is_dir() or ".safetensors" in path.name:
        if not path.exists():
            raise ModelFileError(f"model file {path} does not exist")
        return SafetensorsFile(path)
    if path.suffix != ".pth":
        return GGUFFile(path)
    file = PthFile(path)
    if find_names(file) is None:
        raise ModelFileError(f"{path}: there is no tensor emb.weight, and of .pth files only RWKV-7 is read")
    return file


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _llama_config(file: TensorFile) -> LlamaConfig:
    if isinstance(file, GGUFFile):
        return config_from_gguf(file)
    return config_from_hub(read_json(_folder(file.path) / "config.json"))


def _encoder(file: TensorFile) -> TokenEncoder:
    if isinstance(file, GGUFFile):
        is_world = file.get("tokenizer.ggml.model", str) == "rwkv"
        return world_encoder_from_gguf(file) if is_world else SubwordEncoder(vocabulary_from_gguf(file))
    names = find_names(file)
    if names is None or (_folder(file.path) / "tokenizer.json").exists():
        return SubwordEncoder(vocabulary_from_hub(_folder(file.path)))
    vocab_size, *_ = *tensor_shape(file, names.of("emb.weight")), 0
    if vocab_size != WORLD_SIZE:
        raise ModelFileError(
            f"{file.path}: {vocab_size} tokens are not those of World models ({WORLD_SIZE}): "
            "put the model's tokenizer.json beside the file"
        )
    return world_encoder()


def _chat_template(file: TensorFile, encoder: TokenEncoder) -> ChatTemplate | None:
    source, bos, eos = _gguf_template(file) if isinstance(file, GGUFFile) else _hub_template(_folder(file.path))
    if isinstance(encoder, WorldEncoder):
        bos = eos = next(iter(encoder.special_ids))  # a GGUF file has another name for it
        if source in ("", "rwkv-world"):  # the latter is what llama.cpp calls the customary one
            return world_chat_template()
    return ChatTemplate(source, bos, eos) if source else None


def _gguf_template(file: GGUFFile) -> tuple[str, str, str]:
    """The template's text, empty if there is none, and the names of start and end token."""
    pieces = file.get("tokenizer.ggml.tokens", list)

    def name(token: str) -> str:
        id = file.get(f"tokenizer.ggml.{token}_token_id", int, -1)
        return pieces[id] if 0 <= id < len(pieces) else ""

    return file.get("tokenizer.chat_template", str, ""), name("bos"), name("eos")


def _hub_template(folder: Path) -> tuple[str, str, str]:
    """The same from the files in a folder."""
    settings = optional_json(folder / "tokenizer_config.json")
    source = settings.get("chat_template")
    if (folder / "chat_template.jinja").exists():
        source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    bos, eos = token_name(settings, "bos_token"), token_name(settings, "eos_token")
    return source if isinstance(source, str) else "", bos or "", eos or ""
