"""What messages of a failed run mean, as tables: one module for each kind of speaker."""
