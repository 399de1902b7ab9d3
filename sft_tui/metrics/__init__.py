"""What a training measures, and what needs a look."""
