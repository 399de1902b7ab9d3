"""Profiles and jobs on disk."""
