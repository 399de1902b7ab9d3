"""Samples of the NPUs and of the host."""
