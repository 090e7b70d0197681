"""A sequence's memory as the runtime sees it: pages of keys and values, or a recurrent state, behind one protocol."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.errors import ModelFileError
from model.sequence_step import SequenceStep

_FORMAT = "sequence-memory"


class SequenceMemory(Protocol):
    """The memory of all sequences of one model: `num_blocks` blocks of `block_size` tokens, which page tables hand out.

    A recurrent state holds a sequence of any length, so a state is one block that is never full. layout: how saved
    tensors are laid out; truncates: whether what is kept of a sequence holds what is kept of each of its prefixes
    (true of keys and values, not of a state). rollback: drafts that a sequence may have in a step. Of a step of at most
    1 + rollback tokens, with those that it looks ahead to, all but the first can be taken back; of a longer one
    only the tokens that it looked ahead to, once they are fed; nothing of what came before. The next step says so by
    what it calls cached, which ends the looking ahead.
    """

    num_blocks: int
    block_size: int
    layout: str
    truncates: bool
    rollback: int

    @property
    def mode(self) -> Hashable:
        """Which launches the step takes that was prepared last, where steps of one shape do not all take the same."""

    def prepare(self, steps: Sequence[SequenceStep]) -> None:
        """Make ready for a step of these sequences: called before each, also before a replayed one.

        Raises ValueError, and changes nothing, if a sequence's memory does not hold what its step says is cached.
        """

    def copy_block(self, source: int, target: int) -> None:
        """Write all that a block holds into another one, whose sequence then goes on as the first one's would."""

    def save(self, blocks: Sequence[int], tokens: int) -> dict[str, Tensor]:
        """Copies (on the CPU) of all that the first `tokens` tokens of a sequence have left in its blocks."""

    def restore(self, tensors: dict[str, Tensor], blocks: Sequence[int], tokens: int) -> None:
        """Write what `save` gave for a sequence of as many tokens into these blocks: it continues bit for bit.

        Raises ModelFileError, and changes nothing, if the tensors are not those of `tokens` tokens of this model.
        """


class SavedSequence(NamedTuple):
    """A sequence's tokens, and what its memory held after them."""

    tokens: tuple[int, ...]
    tensors: dict[str, Tensor]


def save_sequence(path: Path, saved: SavedSequence, layout: str, model: str) -> None:
    """Write a Safetensors file, or none: one that was there before is there until all is written. model: what tells
    models apart, whose states mean nothing to each other.

    Raises ModelFileError if the file cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in saved.tensors.items()}
    metadata = {"format": _FORMAT, "layout": layout, "model": model, "tokens": " ".join(map(str, saved.tokens))}
    try:
        part = path.with_name(path.name + ".part")
        save_file(tensors, str(part), metadata)
        part.replace(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelFileError(f"{path} cannot be written: {error}") from error


def is_saved_sequence(path: Path) -> bool:
    """Whether `save_sequence` wrote the file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return bool((file.metadata() or {}).get("format") == _FORMAT)
    except (OSError, ValueError, SafetensorError):
        return False


def load_sequence(path: Path, layout: str, model: str) -> SavedSequence:
    """Read what `save_sequence` wrote.

    Raises ModelFileError if the file is none of those, damaged, of another layout or of another model.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a file is no dict
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelFileError(f"{path} cannot be read as Safetensors: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise ModelFileError(f"{path} holds no saved sequence")
    if metadata.get("layout") != layout:
        raise ModelFileError(
            f"{path}: the memory is laid out as {metadata.get('layout')!r}, this model needs {layout!r}"
        )
    if metadata.get("model") != model:
        raise ModelFileError(f"{path} was saved with the model {metadata.get('model')!r}, this one is {model!r}")
    words = metadata.get("tokens", "").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise ModelFileError(f"{path}: the list of tokens is damaged")
    return SavedSequence(tuple(map(int, words)), tensors)


def check_saved(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise ModelFileError unless the saved tensors have the names, shapes and types of `expected`."""
    if tensors.keys() != expected.keys():
        raise ModelFileError(f"a saved sequence has tensors {sorted(tensors)}, expected {sorted(expected)}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise ModelFileError(
                f"saved tensor {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected {expected[name].dtype} {tuple(expected[name].shape)}"
            )
