"""A Triton backend that compiles kernels to native CPU code."""
