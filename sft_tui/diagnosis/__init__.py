"""Finds the first cause of a failed run in its logs."""
