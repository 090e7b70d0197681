"""Pages of keys and values, copied as a whole."""

from collections.abc import Callable

import torch
from tiny_model import TinyFile

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import load_model
from model.sequence_step import SequenceStep


def test_a_copied_page_is_the_page_and_goes_its_own_way(tiny_file: Callable[[str], TinyFile]) -> None:
    loaded = load_model(tiny_file("q4_0 grouped untied").path, max_context=32)
    cache = KVCache(loaded.config, 8, 4, torch.float32, torch.device("cpu"))
    executor = ModelExecutor(loaded.model, cache, load_ops("reference"))
    executor.step([SequenceStep([3, 1, 4, 1, 5, 9], 0, [2, 6], 0)])
    before = cache.save([2, 6], 6)
    cache.copy_block(6, 0)
    assert all(torch.equal(part, before[name]) for name, part in cache.save([2, 0], 6).items())
    executor.step([SequenceStep([2, 6], 6, [2, 0], 0)])
    assert all(torch.equal(part, before[name]) for name, part in cache.save([2, 6], 6).items())
