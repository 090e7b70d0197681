"""Launches captured once and replayed without Python."""

from collections.abc import Callable

import torch

from kernels.ops import Backend


class LaunchGraph:
    """The kernel launches of a function that takes and returns nothing and works on fixed buffers.

    On a CPU the launches of compiled kernels are recorded and replayed in one native call; torch operations
    between them are not part of the recording. On CUDA the whole function is captured as a CUDA graph.
    Interpreted kernels and the oracles have nothing to record: the function is called again.
    """

    def __init__(self, function: Callable[[], None], backend: Backend, device: torch.device) -> None:
        """Capture `function`, which runs once: what it does to memory need not bear repetition."""
        self.replay: Callable[[], None] = function
        if backend != "compiled":
            function()
        elif device.type == "cuda":
            function()  # kernels compile outside of the capture, which runs nothing
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                function()
            self.replay = graph.replay
        else:
            from triton_cpu.recorder import record

            with record() as recording:
                function()
            self.replay = recording.replay
