"""Conversations with a model, on the terminal and in the browser."""
