"""The pieces that train the small models: recurrence, vocabulary, steps that resume, and what is exported."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from experiments.train.corpus import CORPORA, END, Split, as_conversation, split, turn
from experiments.train.evaluation import bits_per_byte
from experiments.train.export import export
from experiments.train.llama import LlamaShape
from experiments.train.recipes import Recipe, build_model
from experiments.train.rwkv7 import LOG_DECAY_SCALE, RWKV7Shape
from experiments.train.tokens import TokenData, encode_splits, train_tokenizer
from experiments.train.trainer import Trainer, draw_windows
from experiments.train.wkv7 import wkv7_chunked
from kernels.ops import load_ops
from model.config import LlamaConfig
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import LoadedModel, load_model
from model.sequence_step import SequenceStep
from model.state_cache import StateCache

VOCAB_SIZE = 300
SHAPES = {
    "rwkv7-1m": RWKV7Shape(VOCAB_SIZE, width=64, n_layers=2, ffn_width=64, rank=8, value_rank=4),
    "llama-1m": LlamaShape(VOCAB_SIZE, width=64, n_layers=2, n_heads=2, n_kv_heads=1, ffn_width=64),
}
CONTEXT = 24
TEXT = "def area(base, height):\n    return base * height / 2\n\n" * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT], VOCAB_SIZE)


@pytest.fixture(scope="module")
def data(tokenizer: Tokenizer) -> TokenData:
    splits = {corpus.name: Split([TEXT, turn("user", TEXT)], [TEXT[:200]]) for corpus in CORPORA}
    return encode_splits(tokenizer, splits, {corpus.name: corpus.share for corpus in CORPORA})


@pytest.mark.parametrize("length", [1, 32, 75])
def test_chunked_recurrence_equals_the_naive_one(length: int) -> None:
    torch.manual_seed(0)
    r, w, k, v, kappa, rate = torch.randn(6, 2, length, 2, 32)
    kappa = F.normalize(kappa, dim=-1)
    inputs = [r, LOG_DECAY_SCALE * torch.sigmoid(8 * w), k, v, -kappa, kappa * torch.sigmoid(rate)]
    inputs = [x.requires_grad_() for x in inputs]
    chunked, naive = wkv7_chunked(*inputs), naive_wkv7(*inputs)
    torch.testing.assert_close(chunked, naive, rtol=1e-4, atol=1e-4)
    weight = torch.randn_like(naive)
    for found, expected in zip(
        torch.autograd.grad(chunked, inputs, weight), torch.autograd.grad(naive, inputs, weight), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def naive_wkv7(
    r: torch.Tensor, log_w: torch.Tensor, k: torch.Tensor, v: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """Token by token, as the formula reads: y [B, T, H, N]."""
    state = torch.zeros(*r[:, 0].shape, r.shape[-1])
    outputs = []
    for t in range(r.shape[1]):
        kept = state * log_w[:, t].exp()[..., None, :]
        removed = (state @ a[:, t, ..., None]) @ b[:, t, ..., None, :]
        state = kept + removed + v[:, t, ..., None] @ k[:, t, ..., None, :]
        outputs.append((state @ r[:, t, ..., None])[..., 0])
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("text", ["", "plain", "tabs\tand\r\n", "Größe, 漢字, 🙂\u200d", "".join(map(chr, range(256)))])
def test_any_text_survives_the_vocabulary(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_control_names_are_tokens_and_all_bytes_are_there(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(END).ids == [0]
    assert sum(len(token) == 1 for token in tokenizer.get_vocab()) == 256


def test_held_out_documents_are_not_trained_on() -> None:
    documents = {f"document {i}": f"text {i}" for i in range(100)}
    parts = split(documents, conversations=False)
    assert len(parts.held_out) == 2
    assert sorted(parts.training + parts.held_out) == sorted(documents.values())


def test_a_conversation_keeps_the_text() -> None:
    paragraphs = [f"Paragraph {i}, " + "word " * 80 for i in range(4)]
    text = as_conversation("\n\n".join(paragraphs))
    assert text.count("<|im_start|>assistant") == 2
    assert all(paragraph.strip() in text for paragraph in paragraphs)


@pytest.mark.parametrize("name", SHAPES)
def test_a_resumed_training_equals_an_uninterrupted_one(name: str, data: TokenData, tmp_path: Path) -> None:
    recipe = Recipe(SHAPES[name], learning_rate=1e-2, steps=3)
    whole, begun, resumed = (Trainer(recipe, data, CONTEXT) for _ in range(3))
    losses = [whole.advance() for _ in range(3)]
    begun.advance()
    begun.save(tmp_path / "model.pt")
    resumed.restore(tmp_path / "model.pt")
    assert [resumed.advance(), resumed.advance()] == losses[1:]
    assert resumed.step == whole.step == 3
    for found, expected in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", SHAPES)
def test_training_learns(name: str, data: TokenData) -> None:
    trainer = Trainer(Recipe(SHAPES[name], learning_rate=1e-2, steps=30), data, CONTEXT)
    before = bits_per_byte(trainer.model, data)["all"]
    for _ in range(30):
        trainer.advance()
    assert bits_per_byte(trainer.model, data)["all"] < 0.6 * before


@pytest.mark.parametrize("name", SHAPES)
def test_the_exported_model_gives_the_same_logits_here(
    name: str, tokenizer: Tokenizer, data: TokenData, tmp_path: Path
) -> None:
    trainer = Trainer(Recipe(SHAPES[name], learning_rate=1e-2, steps=10), data, CONTEXT)
    for _ in range(10):
        trainer.advance()
    export(tmp_path, name, trainer, tokenizer)
    loaded = load_model(tmp_path, weights="f32")
    assert loaded.chat_template is not None
    assert loaded.encoder.eos_ids == {0, 2}
    tokens = loaded.encoder.encode(TEXT[:60])
    expected = trainer.model(torch.tensor([tokens]))[0]
    torch.testing.assert_close(logits_here(loaded, tokens), expected, rtol=1e-4, atol=1e-4)


def logits_here(loaded: LoadedModel, tokens: list[int]) -> torch.Tensor:
    """The project's own logits [T, vocab_size], by the oracles of its kernels."""
    cpu = torch.device("cpu")
    memory: KVCache | StateCache
    if isinstance(loaded.config, LlamaConfig):
        memory = KVCache(loaded.config, 4, 32, torch.float32, cpu)
    else:
        memory = StateCache(loaded.config, 4, 0, cpu)
    blocks = range(-(-len(tokens) // memory.block_size))
    batch = [SequenceStep(tokens, 0, blocks, len(tokens))]
    return ModelExecutor(loaded.model, memory, load_ops("reference")).step(batch)


def test_rwkv7_has_the_official_names() -> None:
    names = set(build_model(SHAPES["rwkv7-1m"]).state_dict())
    assert {"emb.weight", "blocks.0.ln0.bias", "blocks.1.att.v2", "blocks.0.att.r_k", "blocks.1.ffn.x_k"} <= names
    assert not {"blocks.1.ln0.weight", "blocks.0.att.v0"} & names


def test_windows_depend_on_the_step_alone(data: TokenData) -> None:
    assert torch.equal(draw_windows(data, 5, CONTEXT), draw_windows(data, 5, CONTEXT))
    assert not torch.equal(draw_windows(data, 5, CONTEXT), draw_windows(data, 6, CONTEXT))
