"""A wrong argument is a ValueError that begins with its name, and nothing runs."""

from collections.abc import Callable

import pytest
import torch
from kernel_testing import DEVICE, integers, normal, packed

from kernels.argmax import argmax
from kernels.embedding import embedding
from kernels.linear import linear
from kernels.log_probs import log_probs
from kernels.mask_logits import mask_logits
from kernels.packed import BlockFormat
from kernels.paged_attention import paged_attention, scratch_size
from kernels.rms_norm import add_rms_norm
from kernels.rope import rope_and_cache
from kernels.swiglu import swiglu

X, WEIGHT, Q4 = normal((2, 64)), normal((5, 64)), packed((5, 64), BlockFormat.Q4_1)
Q, CACHE = normal((2, 6, 8)), normal((3, 2, 4, 8))
INDICES = integers([[0, 1]]), integers([0, 2]), integers([2])  # block tables, cu_seqlens, context_lens
SCRATCH = normal((scratch_size(2, 6, 8, Q.device),))
WRONG: list[tuple[str, Callable[[], object]]] = [
    ("x", lambda: linear(X.double(), WEIGHT, normal((2, 5)))),
    ("weight", lambda: linear(X, WEIGHT[:, ::2], normal((2, 5)))),
    ("weight", lambda: linear(X[:, :32].contiguous(), Q4, normal((2, 5)))),
    ("out", lambda: linear(X, Q4, normal((2, 6)))),
    ("bias", lambda: linear(X, Q4, normal((2, 5)), bias=normal((4,)))),
    ("activation", lambda: linear(X, Q4, normal((2, 5)), activation="relu")),  # type: ignore[arg-type]
    ("up", lambda: swiglu(X, Q4, WEIGHT[:4], normal((2, 5)))),
    ("ids", lambda: embedding(integers([0], torch.int64), WEIGHT, normal((1, 64)))),
    ("residual", lambda: add_rms_norm(X, normal((64,)), 1e-5, X.clone(), X.half())),
    ("bitmask", lambda: mask_logits(X, integers([[1]]), integers([0]))),
    ("out", lambda: argmax(X, integers([0, 0], torch.int64))),
    ("targets", lambda: log_probs(X, integers([0]), normal((2,)), integers([0, 0]))),
    ("is_best", lambda: log_probs(X, integers([0, 0]), normal((2,)), normal((2,)))),
    ("v_cache", lambda: paged_attention(Q, CACHE, CACHE.half(), *INDICES, SCRATCH, Q.clone(), 1.0, 2)),
    ("cu_seqlens", lambda: paged_attention(Q, CACHE, CACHE, INDICES[0], INDICES[2], INDICES[2], SCRATCH, Q, 1.0, 2)),
    ("q", lambda: paged_attention(Q[:, :3], CACHE, CACHE, *INDICES, SCRATCH[:216], Q[:, :3].clone(), 1.0, 2)),
    ("scratch", lambda: paged_attention(Q, CACHE, CACHE, *INDICES, SCRATCH[1:], Q.clone(), 1.0, 2)),
    (
        "cos_sin",
        lambda: rope_and_cache(
            Q, Q[:, :2], Q[:, :2], integers([0, 1]), normal((9, 10)), integers([0, 1], torch.int64),
            CACHE, CACHE, True,
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call"), WRONG)
def test_names_the_argument(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        call()


def test_device() -> None:
    with pytest.raises(ValueError, match=r"^out: must be on"):
        argmax(X.to(DEVICE), torch.empty(2, dtype=torch.int32, device="meta"))
