"""Jobs: the supervisor, its steps, the queue, the client."""
