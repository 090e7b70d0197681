"""What Triton calls for each launch of a compiled kernel."""

from collections.abc import Callable
from typing import Any

from triton_cpu import recorder
from triton_cpu.arguments import argument_packer
from triton_cpu.thread_team import run_records

Hook = Callable[[Any], None]


class CPULauncher:
    """Launches one compiled kernel. `function` is the address that `load_binary` returned.

    Raises LaunchArgumentError for arguments that native code cannot take, before anything runs.
    """

    def __init__(self, source: Any, metadata: Any) -> None:
        names = [str(name) for name in source.signature]
        self._pack = argument_packer(names, list(source.signature.values()))
        self._run = run_records()

    def __call__(
        self,
        grid_x: int,
        grid_y: int,
        grid_z: int,
        stream: int,
        function: int,
        kernel_metadata: Any,
        launch_metadata: Any,
        enter_hook: Hook | None,
        exit_hook: Hook | None,
        *arguments: Any,
    ) -> None:
        launch = self._pack(function, grid_x, grid_y, grid_z, *arguments)
        if enter_hook is not None:
            enter_hook(launch_metadata)
        self._run(launch)
        for recording in recorder.active.recordings:
            recording.add(launch, 1, arguments)
        if exit_hook is not None:
            exit_hook(launch_metadata)
