"""Checkpoints to GGUF, quantised and verified."""
