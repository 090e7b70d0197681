"""Reading a checkpoint that `torch.save` wrote: a zip archive of tensors, mapped and not copied.

Inside such an archive lies a pickle, which is a program. Torch's restricted unpickler builds tensors and plain
containers from it and stops at whatever else it asks for, so nothing of a stranger's is run.
"""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from model.errors import ModelFileError

_ZIP_MAGIC = b"PK\x03\x04"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


class PthFile:
    """The tensors of a checkpoint by name; `tensors` maps each name to its shape.

    Raises ModelFileError if the file is no archive of `torch.save`, is damaged, or holds anything but named tensors
    of f32, f16 or bf16.
    """

    tensors: dict[str, tuple[int, ...]]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tensors = _load(path)
        self.tensors = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor as stored."""
        return self._tensors[name]


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_ZIP_MAGIC))
        if magic != _ZIP_MAGIC:  # a bare pickle, which older versions of torch wrote, is not even looked into
            raise ModelFileError(f"{path} is not an archive as torch.save writes it (it starts with {magic!r})")
        with warnings.catch_warnings(action="ignore"):  # of what is odd in a file: it is refused, or does no harm
            values = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except ModelFileError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelFileError(f"{path} holds code or objects besides tensors; none of it was run") from error
    except Exception as error:  # a damaged archive or pickle may fail in any way
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise ModelFileError(f"{path} cannot be read as a torch checkpoint: {reason}") from error
    if not isinstance(values, dict) or not values:
        raise ModelFileError(f"{path} holds a {type(values).__name__}, expected named tensors")
    for name, tensor in values.items():
        _check(path, name, tensor)
    return values


def _check(path: Path, name: Any, tensor: Any) -> None:
    if not isinstance(name, str):
        raise ModelFileError(f"{path}: {name!r} is no name of a tensor")
    if not isinstance(tensor, torch.Tensor):
        raise ModelFileError(f"{path}: {name} is a {type(tensor).__name__}, expected a tensor")
    if tensor.dtype not in _FLOATS or tensor.layout != torch.strided:
        raise ModelFileError(f"{path}: tensor {name} is {tensor.dtype}, expected f32, f16 or bf16")
    if tensor.device.type != "cpu" or tensor.nbytes > tensor.untyped_storage().nbytes():
        raise ModelFileError(f"{path}: tensor {name} of {tuple(tensor.shape)} has fewer values than that in the file")
