"""How a conversation is written as one text: FastChat's templates and chat templates of models."""
