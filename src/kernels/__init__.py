"""Triton kernels of LLM inference: one module a kernel, with its launcher and cost model."""
