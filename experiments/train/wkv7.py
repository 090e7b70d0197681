"""The RWKV-7 recurrence for training: in chunks, as batched matrix products that autograd can differentiate.

Per head, with a state S [N, N] (rows = value index, columns = key index) that starts at zero:

    S_t = S_{t-1} diag(w_t) + (S_{t-1} a_t) b_t^T + v_t k_t^T,        y_t = S_t r_t

(RWKV-7, arXiv 2503.14456). Let W_t be the product of the decays w of a chunk up to t. S_t diag(1 / W_t) only gains
rank-one terms, so that all u_t = S_{t-1} a_t of a chunk solve one triangular system (the WY form):

    (I - A_ab) U = A S_0^T + A_ak V,     A_t = W_{t-1} a_t,  A_ab[t, s] = A_t . (b_s / W_s) for s < t

U is linear in S_0, hence the state after a chunk is S_0 M + Z, and only that product runs chunk by chunk.
"""

import torch
import torch.nn.functional as F

CHUNK = 16  # W >= 0.5453 ** 16 = 6e-5 (RWKV-7 limits the decay so), and 1 / W is harmless in f32


def wkv7_chunked(
    r: torch.Tensor, log_w: torch.Tensor, k: torch.Tensor, v: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """y f32 [B, T, H, N] from six tensors of that shape, of any T; log_w is the logarithm of the decay."""
    length = r.shape[1]
    r, log_w, k, v, a, b = (_to_chunks(x) for x in (r, log_w, k, v, a, b))  # [B, H, T / C, C, N]
    log_decay = log_w.cumsum(-2)
    growth = torch.exp(-log_decay)
    r, a = r * torch.exp(log_decay), a * torch.exp(log_decay - log_w)
    k, b = k * growth, b * growth
    a_k, a_b = (a @ k.mT).tril(-1), (a @ b.mT).tril(-1)  # [.., C, C]
    r_k, r_b = (r @ k.mT).tril(), (r @ b.mT).tril()
    # U = p S_0^T + q
    system = torch.eye(CHUNK, device=r.device) - a_b
    p, q = torch.linalg.solve_triangular(
        system, torch.cat([a, a_k @ v], -1), upper=False, unitriangular=True
    ).chunk(2, -1)
    decay = torch.exp(log_decay[..., -1:, :])
    transition = (torch.eye(r.shape[-1], device=r.device) + p.mT @ b) * decay  # M
    gain = (q.mT @ b + v.mT @ k) * decay  # Z
    states = _states(transition, gain)
    y = (r + r_b @ p) @ states.mT + r_b @ q + r_k @ v
    return y.flatten(2, 3).transpose(1, 2)[:, :length]


def _to_chunks(x: torch.Tensor) -> torch.Tensor:
    """[B, T, H, N] -> f32 [B, H, T / C, C, N]; zeros fill the last chunk, and change nothing before them."""
    x = F.pad(x.float(), (0, 0, 0, 0, 0, -x.shape[1] % CHUNK))
    return x.transpose(1, 2).unflatten(2, (-1, CHUNK))


def _states(transition: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """The state before each chunk, [B, H, T / C, N, N], from the chunks' S -> S M + Z."""
    state = torch.zeros_like(gain[:, :, 0])
    states = [state]
    for m, z in zip(transition.unbind(2)[:-1], gain.unbind(2)[:-1], strict=True):
        state = state @ m + z
        states.append(state)
    return torch.stack(states, 2)
