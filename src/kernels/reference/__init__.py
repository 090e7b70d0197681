"""Oracles: each kernel's formula in plain torch, under the kernel's name and signature."""
