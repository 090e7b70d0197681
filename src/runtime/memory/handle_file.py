"""Handles in Safetensors files."""

from pathlib import Path

from torch import Tensor

from model.errors import ModelFileError
from model.memory import SavedSequence, load_sequence, save_sequence
from runtime.errors import RequestError
from runtime.memory.block_store import BlockStore
from runtime.memory.handle import Handle


def save_handle(store: BlockStore, handle: Handle, path: Path, extra: dict[str, Tensor] | None = None) -> None:
    """Writes a handle with its memory (without a token that the model has yet to see), and further tensors beside it.

    Raises RequestError if its memory is gone, ModelFileError if the file cannot be written.
    """
    if handle not in store.handles or not handle.computed:
        raise RequestError("the handle has expired: continue it with keep, and save the handle that this leaves")
    tensors = store.memory.save(handle.blocks, handle.computed) | (extra or {})
    save_sequence(path, SavedSequence(handle.tokens[: handle.computed], tensors), handle.layout, handle.model)


def load_handle(store: BlockStore, path: Path, vocab_size: int) -> Handle:
    """The handle that was saved. Raises ModelFileError if the file is damaged, of another model or layout; RequestError
    if there is no room for it."""
    return restore_handle(store, load_sequence(path, store.memory.layout, store.model), vocab_size)


def restore_handle(store: BlockStore, saved: SavedSequence, vocab_size: int) -> Handle:
    """A handle on what was saved. Raises as above."""
    tokens, memory = saved.tokens, store.memory
    if not tokens or not all(0 <= token < vocab_size for token in tokens):
        raise ModelFileError("a saved sequence has no tokens, or some that the model does not know")
    handle = store.restore(tokens, lambda blocks: memory.restore(saved.tensors, blocks, len(tokens)))
    if handle is None:
        fix = "raise cache.blocks or cache.memory_mib"
        raise RequestError(f"there is no room in the cache for {len(tokens)} saved tokens: {fix}")
    return handle
