"""What the backend raises: one clear line each."""


class UnsupportedMachineError(RuntimeError):
    """The backend does not run on this operating system or processor."""


class NativeCodeError(RuntimeError):
    """LLVM refused what the code generator wrote: a fault of the backend, not of the kernel."""


class LaunchArgumentError(TypeError):
    """A kernel was launched with an argument that native code cannot take."""


class RecordingError(RuntimeError):
    """A recording of launches was used in a way it cannot serve."""
