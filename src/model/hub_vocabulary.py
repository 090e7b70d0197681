"""The vocabulary of a Hugging Face folder: `tokenizer.json`, and its neighbours for start and end tokens."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.errors import ModelFileError
from model.safetensors_file import read_json
from model.vocabulary import Spelling, Vocabulary, end_ids


def vocabulary_from_hub(folder: Path) -> Vocabulary:
    """Read the vocabulary of a model folder. Raises ModelFileError if there is no valid `tokenizer.json`."""
    path = folder / "tokenizer.json"
    values = read_json(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelFileError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    special_ids = {
        token.content: id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special
    }
    settings = optional_json(folder / "tokenizer_config.json")
    model = optional_json(folder / "config.json")
    generation = optional_json(folder / "generation_config.json")
    bos = tokenizer.token_to_id(token_name(settings, "bos_token") or "")
    eos = tokenizer.token_to_id(token_name(settings, "eos_token") or "")
    ends = [eos, *_as_list(model.get("eos_token_id")), *_as_list(generation.get("eos_token_id"))]
    if bos is None and type(model.get("bos_token_id")) is int:
        bos = model["bos_token_id"]
    byte_level = '"ByteLevel"' in json.dumps(values.get("decoder"))
    return Vocabulary(
        tokenizer=tokenizer,
        spelling=Spelling.BYTE_LEVEL if byte_level else Spelling.SENTENCEPIECE,
        bos_id=bos,
        eos_ids=end_ids(special_ids, [id for id in ends if type(id) is int]),
        special_ids=special_ids,
        # The post-processor is what puts it there; an empty text shows whether it does.
        starts_with_bos=bos is not None and tokenizer.encode("").ids[:1] == [bos],
        size=max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1,
    )


def optional_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, empty if there is no such file."""
    return read_json(path) if path.exists() else {}


def token_name(settings: dict[str, Any], key: str) -> str | None:
    """The name of a token in `tokenizer_config.json`: a text, or an object with the text as `content`."""
    value = settings.get(key)
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
