"""What the direct route adds to MindFormers while it runs."""
