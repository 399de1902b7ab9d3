"""Widgets: they draw what they are told."""
