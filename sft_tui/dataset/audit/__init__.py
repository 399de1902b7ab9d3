"""Counts what a model would learn of a dataset."""
