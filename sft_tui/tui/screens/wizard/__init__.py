"""The wizard steps, one screen each."""
