"""Weights, tokenizers and forward passes."""
