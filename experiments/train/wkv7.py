"""The RWKV-7 recurrence for training: in chunks, as batched matrix products that autograd can differentiate.

Per head, with a state S [N, N] (rows = value index, columns = key index) that starts at zero:

    S_t = S_{t-1} diag(w_t) + (S_{t-1} a_t) b_t^T + v_t k_t^T,        y_t = S_t r_t

(RWKV-7, arXiv 2503.14456). Let W_t be the product of the decays w of a chunk up to t. S_t diag(1 / W_t) only gains
rank-one terms, so that all u_t = S_{t-1} a_t of a chunk solve one triangular system (the WY form):

    (I - A_ab) U = A S_0^T + A_ak V,     A_t = W_{t-1} a_t,  A_ab[t, s] = A_t . (b_s / W_s) for s < t

U = P S_0^T + Q is linear in S_0, hence the state after a chunk is S_0 M + Z, and only that product runs chunk by chunk.
"""

import torch
import torch.nn.functional as F

CHUNK = 32  # W >= 0.5453 ** 32 = 4e-9 (RWKV-7 limits the decay so): W, 1 / W and their products are at home in f32


def wkv7_chunked(
    r: torch.Tensor, log_w: torch.Tensor, k: torch.Tensor, v: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """y f32 [B, T, H, N] from six tensors of that shape, of any T; log_w is the logarithm of the decay."""
    length, size = r.shape[1], r.shape[-1]
    r, log_w, k, v, a, b = (_to_chunks(x) for x in (r, log_w, k, v, a, b))  # [B, H, T / C, C, N]
    up_to = torch.ones(CHUNK, CHUNK).tril()
    log_decay = up_to @ log_w  # a product, as the gradient of cumsum is slow
    growth = torch.exp(-log_decay)
    # One product for each pair of query (a, r) and key (b, k); a sees the tokens before it, r its own as well.
    queries = torch.cat([a * torch.exp(log_decay - log_w), r * torch.exp(log_decay)], -2)
    keys = torch.cat([b * growth, k * growth], -2)
    seen = torch.cat([up_to.tril(-1).repeat(1, 2), up_to.repeat(1, 2)])
    products = (queries @ keys.mT) * seen  # [.., 2 C, 2 C]
    a_b, a_k = products[..., :CHUNK, :].chunk(2, -1)
    r_bk = products[..., CHUNK:, :]
    a, r = queries.chunk(2, -2)
    # The diagonal is not read: `unitriangular` takes it as ones.
    right = torch.cat([a, a_k @ v], -1)
    p, q = torch.linalg.solve_triangular(-a_b, right, upper=False, unitriangular=True).chunk(2, -1)
    decay = torch.exp(log_decay[..., -1:, :])
    q_v = torch.cat([q, v], -2)
    transition = (torch.eye(size) + p.mT @ keys[..., :CHUNK, :]) * decay  # M
    gain = (q_v.mT @ keys) * decay  # Z
    y = (r + r_bk[..., :CHUNK] @ p) @ _states(transition, gain).mT + r_bk @ q_v
    return y.flatten(2, 3).transpose(1, 2)[:, :length]


def _to_chunks(x: torch.Tensor) -> torch.Tensor:
    """[B, T, H, N] -> f32 [B, H, T / C, C, N]; zeros fill the last chunk, and change nothing before them."""
    if padding := -x.shape[1] % CHUNK:
        x = F.pad(x, (0, 0, 0, 0, 0, padding))
    return x.float().transpose(1, 2).unflatten(2, (-1, CHUNK))


def _states(transition: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """The state before each chunk, [B, H, T / C, N, N], from the chunks' S -> S M + Z."""
    state = torch.zeros_like(gain[:, :, 0])
    states = [state]
    for m, z in zip(transition.unbind(2)[:-1], gain.unbind(2)[:-1], strict=True):
        state = state @ m + z
        states.append(state)
    return torch.stack(states, 2)
