import torch
from kernel_testing import DEVICE, INTERPRETED, normal

from kernels.launch_graph import LaunchGraph
from kernels.linear import linear
from kernels.rms_norm import add_rms_norm


def test_replay_works_on_what_the_buffers_hold_then() -> None:
    x, scale, weight = normal((2, 48)), normal((48,)), normal((7, 48), seed=1)
    hidden, out = torch.empty_like(x), normal((2, 7))

    def layer() -> None:
        add_rms_norm(x, scale, 1e-5, hidden, None)
        linear(hidden, weight, out)

    graph = LaunchGraph(layer, "interpret" if INTERPRETED else "compiled", DEVICE)
    x.copy_(normal((2, 48), seed=2))
    graph.replay()
    replayed = out.clone()
    layer()
    assert torch.equal(replayed, out)
