"""Finds facts and problems of a profile before any long work."""
