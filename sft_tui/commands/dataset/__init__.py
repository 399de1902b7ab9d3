"""Commands that work on data."""
