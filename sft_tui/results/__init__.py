"""What a training brought."""
