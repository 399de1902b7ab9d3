"""Reads logs that grow."""
