"""Plain text as training data: reads it in pieces, and puts WikiText back into ordinary writing."""
