"""What is installed, and what fits together."""
