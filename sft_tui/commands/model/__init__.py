"""Commands that work on weights."""
