"""Stand-ins on CPU for operators that only NPUs have."""
