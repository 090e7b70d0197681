"""What a model is called."""

from pathlib import PurePath

_SUFFIXES = (".gguf", ".pth", ".safetensors")


def model_name(source: str) -> str:
    """The name of its file or folder, from where it comes from as settings say it (see ModelConfig)."""
    path = PurePath(source)
    return path.stem if path.suffix in _SUFFIXES else path.name
