"""Requests, scheduling, decoding and experiments."""
