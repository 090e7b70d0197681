"""Reading a Safetensors checkpoint: one file, or the shards that an index names, mapped and not copied."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from model.errors import ModelFileError

_INDEX = "model.safetensors.index.json"


class SafetensorsFile:
    """The tensors of a checkpoint by name. `path` is a folder, a `.safetensors` file or a
    `.safetensors.index.json`; `tensors` maps each name to its shape.

    Raises ModelFileError if there is no checkpoint, a shard is missing, or a file is damaged.
    """

    tensors: dict[str, tuple[int, ...]]

    def __init__(self, path: Path) -> None:
        self.path = path
        files = _checkpoint_files(path)
        self._shards: dict[str, Any] = {}
        self.tensors = {}
        for file in files:
            try:
                shard = safe_open(str(file), framework="pt")
                for name in shard.keys():  # noqa: SIM118 - a shard is no dict
                    self._shards[name] = shard
                    self.tensors[name] = tuple(shard.get_slice(name).get_shape())
            except (SafetensorError, OSError) as error:
                raise ModelFileError(f"{file} cannot be read as Safetensors: {error}") from error

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor as stored. Raises ModelFileError if it is not of f32, f16 or bf16."""
        tensor: torch.Tensor = self._shards[name].get_tensor(name)
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ModelFileError(f"{self.path}: tensor {name} is {tensor.dtype}, expected f32, f16 or bf16")
        return tensor


def shard_names(index: Path) -> list[str]:
    """The file names that an index lists. Raises ModelFileError if it is none or leaves its folder."""
    mapping = read_json(index).get("weight_map")
    names = list(mapping.values()) if isinstance(mapping, dict) else []
    if not names or any(type(name) is not str or Path(name).name != name for name in names):
        raise ModelFileError(f"{index} is not an index of Safetensors files in its own folder")
    return sorted(set(names))


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON object. Raises ModelFileError if the file is missing or holds something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{path} does not hold a JSON object")
    return values


def _checkpoint_files(path: Path) -> list[Path]:
    if path.is_dir():
        path = path / _INDEX if (path / _INDEX).exists() else path / "model.safetensors"
    if path.name.endswith(".index.json"):
        return [path.with_name(name) for name in shard_names(path)]
    if not path.exists():
        raise ModelFileError(f"{path} does not exist")
    return [path]
