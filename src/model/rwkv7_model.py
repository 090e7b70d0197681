"""The forward pass of RWKV-7 on states in slots.

    h = ln0(embedding)[tokens]
    each layer:  h += time_mix(ln1(h))
                 h += channel_mix(ln2(h))
    logits = head(ln_out(h)), for the rows that are wanted

Every h += is part of the next norm's kernel; ln0 is part of the embedding since the weights were read. The residual
stream h, the decay and the states are f32, other activations are `dtype`. Source: Peng et al., RWKV-7 "Goose" with
Expressive Dynamic State Evolution, arXiv 2503.14456.
"""

import torch
from torch import Tensor

from kernels.ops import Ops
from kernels.packed import PackedTensor
from model.batch import Batch
from model.buffer_pool import BufferPool
from model.errors import ModelFileError
from model.rwkv7_config import HEAD_NORM_EPS, Rwkv7Config
from model.rwkv7_weights import ChannelMix, Rwkv7Weights, TimeMix
from model.rwkv7_workspace import Rwkv7Workspace, cut_rwkv7_workspace
from model.state_cache import LayerState, StateCache, StepPlan


class Rwkv7:
    """A model ready to run. dtype: activations (f32, bf16 or f16); max_context: the longest sequence that will come,
    in tokens (default: `config.context_length`; memory does not depend on it)."""

    def __init__(
        self,
        config: Rwkv7Config,
        weights: Rwkv7Weights,
        dtype: torch.dtype,
        device: torch.device,
        max_context: int | None = None,
    ) -> None:
        self.max_context = config.context_length if max_context is None else max_context
        if not 0 < self.max_context <= config.context_length:
            raise ModelFileError(f"a context of {max_context} tokens is not between 1 and {config.context_length}")
        self.config = config
        self.weights = weights
        self.dtype = dtype
        self.device = device
        self._ranks = max(layer.time_mix.ranks for layer in weights.layers)
        self._pool = BufferPool(dtype, device)

    def forward(self, batch: Batch, cache: StateCache, ops: Ops) -> Tensor:
        """See model.executor.Model: moves the batch's states in the cache on."""
        tokens, rows = batch.tokens.shape[0], batch.logit_rows.shape[0]
        work = cut_rwkv7_workspace(self._pool, self.config, self._ranks, tokens, rows)
        eps = self.config.norm_eps
        ops.embedding(batch.tokens, self.weights.embedding, work.residual)
        x, residual = work.residual, None
        for layer, state in zip(self.weights.layers, cache.layers, strict=True):
            ops.add_layer_norm(x, *layer.norm1, eps, work.normed, residual)
            self._mix_time(layer.time_mix, batch, state, cache, work, ops)
            ops.add_layer_norm(work.branch, *layer.norm2, eps, work.normed, work.residual)
            (mixed,) = _shift(work.normed, layer.channel_mix.mix, batch, state.channel_shift, cache.plan, work, ops)
            x, residual = work.branch, work.residual
            if layer is self.weights.layers[-1] and rows < tokens:
                # From here on nothing looks at other tokens: only rows whose logits are wanted go on.
                mixed, residual = _gather(batch.logit_rows, mixed, residual, work, ops)
                x = x[:rows]
            if len(x):
                self._mix_channels(layer.channel_mix, mixed, x, work, ops)
        if rows:
            ops.add_layer_norm(x, *self.weights.output_norm, eps, work.normed[:rows], residual)
            ops.linear(work.normed[:rows], self.weights.head, work.logits)
        return work.logits

    def _mix_time(
        self, layer: TimeMix, batch: Batch, state: LayerState, cache: StateCache, work: Rwkv7Workspace, ops: Ops
    ) -> None:
        xs = _shift(work.normed, layer.mixes, batch, state.time_shift, cache.plan, work, ops)  # r, k, v, w, a, g (, v)
        ops.linear(xs[0], layer.receptance, work.r)
        ops.linear(xs[1], layer.key, work.k)
        ops.linear(xs[2], layer.value, work.v)
        nu = None if layer.value_gate is None else work.nu
        hidden = work.hidden[: len(work.r) * layer.ranks].view(-1, layer.ranks)
        ops.low_rank(
            xs[3:], layer.decay, layer.rate, layer.gate, layer.value_gate, hidden, work.log_w, work.alpha, work.g, nu
        )
        ops.wkv7_inputs(
            work.k, work.v, work.alpha, nu, work.v_first, layer.k_k, layer.k_a, self.config.head_size,
            work.k, work.v, work.a, work.b,
        )  # fmt: skip
        y = self._recur(batch, state, cache, work, ops)
        ops.time_mix_output(
            y, work.r, work.k, work.v, work.g, layer.norm_weight, layer.norm_bias, layer.r_k, HEAD_NORM_EPS,
            work.mixed,
        )  # fmt: skip
        ops.linear(work.mixed, layer.output, work.branch)

    def _recur(self, batch: Batch, state: LayerState, cache: StateCache, work: Rwkv7Workspace, ops: Ops) -> Tensor:
        """y of all tokens, f32 [T, H, N]: of sequences that go on in place, and of those whose updates are logged."""
        vectors = (work.r, work.log_w, work.k, work.v, work.a, work.b, work.y)
        r, log_w, k, v, a, b, y = (vector.unflatten(1, (-1, self.config.head_size)) for vector in vectors)
        slots, starts, log_lens = batch.state_slots, batch.cu_seqlens, cache.plan.log_lens
        if cache.mode:
            ops.wkv7_fold(state.wkv, state.log, slots, cache.plan.fold_lens)
        ops.wkv7(r, log_w, k, v, a, b, state.wkv, slots, starts, log_lens, y, batch.max_query_len)
        if cache.mode:
            ops.wkv7_delayed(r, log_w, k, v, a, b, state.wkv, state.log, slots, starts, log_lens, y)
        return y

    def _mix_channels(self, layer: ChannelMix, x: Tensor, out: Tensor, work: Rwkv7Workspace, ops: Ops) -> None:
        squared = work.squared[: len(x)]
        ops.linear(x, layer.key, squared, activation="relu_squared")
        if isinstance(layer.value, PackedTensor):
            ops.linear(squared, layer.value, out)
        else:
            ops.sparse_linear(squared, layer.value, work.scratch, out)


def _gather(rows: Tensor, x: Tensor, residual: Tensor, work: Rwkv7Workspace, ops: Ops) -> tuple[Tensor, Tensor]:
    """These rows of both."""
    if not len(rows):
        return work.rows, work.residual_rows
    return ops.embedding(rows, x, work.rows), ops.embedding(rows, residual, work.residual_rows)


def _shift(
    x: Tensor, mixes: Tensor, batch: Batch, rows: Tensor, plan: StepPlan, work: Rwkv7Workspace, ops: Ops
) -> Tensor:
    """Each token mixed with the one before it, once for each row of mixes [C, D]: [C, T, D]."""
    shape = mixes.shape[0], *x.shape
    out = work.shifted[: mixes.shape[0] * x.numel()].view(shape)
    return ops.token_shift(
        x, mixes, rows, batch.state_slots, batch.cu_seqlens, batch.sequence_ids, plan.read_rows, plan.first_rows, out
    )
