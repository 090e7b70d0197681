"""RWKV-7 token by token in float64 from the tensors of an official file: what the real model is held against."""

import math

import torch
from torch import Tensor
from torch.nn.functional import group_norm, layer_norm, normalize


def plain_rwkv7(tensors: dict[str, Tensor], tokens: list[int]) -> tuple[Tensor, list[Tensor]]:
    """Logits [T, V] after each token of one sequence, and the state after the last: three tensors a layer."""
    z = {name: tensor.double().squeeze() for name, tensor in tensors.items()}
    heads, size = tensors["blocks.0.att.r_k"].shape
    width = heads * size
    n_layers = 1 + max(int(name.split(".")[1]) for name in z if name.startswith("blocks."))
    shapes = [(width,), (heads, size, size), (width,)]
    state = [torch.zeros(shape, dtype=torch.float64) for _ in range(n_layers) for shape in shapes]

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, (width,), z[f"{name}.weight"], z[f"{name}.bias"], 1e-5)

    def time_mix(x: Tensor, layer: int, v_first: Tensor | None) -> tuple[Tensor, Tensor]:
        w = {name.split(".att.")[1]: t for name, t in z.items() if name.startswith(f"blocks.{layer}.att.")}
        before, state[3 * layer] = state[3 * layer], x
        xr, xw, xk, xv, xa, xg = (x + (before - x) * w[f"x_{name}"] for name in "rwkvag")
        r, k, v = w["receptance.weight"] @ xr, w["key.weight"] @ xk, w["value.weight"] @ xv
        decay = torch.exp(-math.exp(-0.5) * torch.sigmoid(w["w0"] + torch.tanh(xw @ w["w1"]) @ w["w2"]))
        rate = torch.sigmoid(w["a0"] + xa @ w["a1"] @ w["a2"])
        gate = torch.sigmoid(xg @ w["g1"]) @ w["g2"]
        if v_first is None:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(w["v0"] + xv @ w["v1"] @ w["v2"])
        kappa = normalize((k * w["k_k"]).view(heads, size), dim=-1)
        k = k * (1 + (rate - 1) * w["k_a"])
        r, k, v, decay, rate = (t.view(heads, size) for t in (r, k, v, decay, rate))
        S = state[3 * layer + 1]
        S = S * decay[:, None, :] - (S @ kappa[:, :, None]) * (kappa * rate)[:, None, :] + v[:, :, None] * k[:, None, :]
        state[3 * layer + 1] = S
        y = (S @ r[:, :, None]).view(1, width)
        y = group_norm(y, heads, w["ln_x.weight"], w["ln_x.bias"], 64e-5).view(width)
        y = y + ((r * k * w["r_k"].view(heads, size)).sum(-1, keepdim=True) * v).view(width)
        return w["output.weight"] @ (y * gate), v_first

    def channel_mix(x: Tensor, layer: int) -> Tensor:
        before, state[3 * layer + 2] = state[3 * layer + 2], x
        mixed = x + (before - x) * z[f"blocks.{layer}.ffn.x_k"]
        return z[f"blocks.{layer}.ffn.value.weight"] @ (z[f"blocks.{layer}.ffn.key.weight"] @ mixed).relu().square()

    logits = []
    for token in tokens:
        h = norm(z["emb.weight"][token], "blocks.0.ln0")
        v_first = None
        for layer in range(n_layers):
            branch, v_first = time_mix(norm(h, f"blocks.{layer}.ln1"), layer, v_first)
            h = h + branch
            h = h + channel_mix(norm(h, f"blocks.{layer}.ln2"), layer)
        logits.append(z["head.weight"] @ norm(h, "ln_out"))
    return torch.stack(logits), state
