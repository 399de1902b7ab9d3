"""What is in a checkpoint folder, what is missing, and whether it can be converted."""
