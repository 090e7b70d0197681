"""The forward pass of a Llama-family transformer over a paged cache, eight kernel launches a layer.

    h = embedding[tokens]
    each layer:  h += O(attention(rope(QKV(norm(h)))))
                 h += down(silu(gate(norm(h))) * up(norm(h)))
    logits = head(norm(h)), for the rows that are wanted

Every h += is part of the next norm's kernel. The residual stream h is f32, other activations are `dtype`.
Source: Touvron et al., LLaMA, arXiv 2302.13971.
"""

import torch
from torch import Tensor

from kernels.ops import Ops
from model.batch import Batch
from model.buffer_pool import BufferPool
from model.config import LlamaConfig
from model.errors import ModelFileError
from model.kv_cache import KVCache
from model.rope import rope_table
from model.weights import LayerWeights, LlamaWeights
from model.workspace import Workspace, cut_workspace


class Llama:
    """A model ready to run. dtype: activations (f32, bf16 or f16); max_context: the longest sequence that
    will come, in tokens (default: the model's own limit). Raises ModelFileError if that is more than the
    model can do."""

    def __init__(
        self,
        config: LlamaConfig,
        weights: LlamaWeights,
        dtype: torch.dtype,
        device: torch.device,
        max_context: int | None = None,
    ) -> None:
        self.max_context = config.context_length if max_context is None else max_context
        if not 0 < self.max_context <= config.context_length:
            raise ModelFileError(
                f"a context of {max_context} tokens is beyond the model's limit of {config.context_length}"
            )
        self.config = config
        self.weights = weights
        self.dtype = dtype
        self.device = device
        self._scale = config.head_dim**-0.5
        self._cos_sin = rope_table(config.rope, self.max_context).to(device)
        self._pool = BufferPool(dtype, device)

    def forward(self, batch: Batch, cache: KVCache, ops: Ops) -> Tensor:
        """See model.executor.Model: writes the batch's keys and values into the cache."""
        work = cut_workspace(self._pool, self.config, batch.tokens.shape[0], batch.logit_rows.shape[0])
        eps = self.config.norm_eps
        ops.embedding(batch.tokens, self.weights.embedding, work.residual)
        x, residual = work.residual, None
        for layer, (k_cache, v_cache) in zip(self.weights.layers, cache.layers, strict=True):
            ops.add_rms_norm(x, layer.attention_norm, eps, work.normed, residual)
            self._attend(layer, batch, k_cache, v_cache, work, ops)
            ops.add_rms_norm(work.branch, layer.ffn_norm, eps, work.normed, work.residual)
            ops.swiglu(work.normed, layer.gate, layer.up, work.gated)
            ops.linear(work.gated, layer.down, work.branch)
            x, residual = work.branch, work.residual
        ops.add_rms_norm(x, self.weights.output_norm, eps, work.normed, residual)
        if batch.logit_rows.shape[0]:
            ops.embedding(batch.logit_rows, work.normed, work.rows)
            ops.linear(work.rows, self.weights.head, work.logits)
        return work.logits

    def _attend(
        self, layer: LayerWeights, batch: Batch, k_cache: Tensor, v_cache: Tensor, work: Workspace, ops: Ops
    ) -> None:
        outputs, (q, k, v) = work.fused if len(layer.qkv) == 1 else work.separate
        for (weight, bias), out in zip(layer.qkv, outputs, strict=True):
            ops.linear(work.normed, weight, out, bias)
        ops.rope_and_cache(
            q,
            k,
            v,
            batch.positions,
            self._cos_sin,
            batch.slots,
            k_cache,
            v_cache,
            self.config.rope.interleaved,
        )
        ops.paged_attention(
            q, k_cache, v_cache, batch.block_tables, batch.cu_seqlens, batch.context_lens,
            work.scratch, work.attended.view(q.shape), self._scale, batch.max_query_len,
        )  # fmt: skip
        ops.linear(work.attended, layer.o.weight, work.branch, layer.o.bias)
