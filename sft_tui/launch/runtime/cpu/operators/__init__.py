"""Operators that only NPUs have: each module puts one in its place (`install`)."""
