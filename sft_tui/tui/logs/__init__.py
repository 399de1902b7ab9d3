"""Reads pages of logs for screens, on threads."""
