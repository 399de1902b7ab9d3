"""Which tensor of Hugging Face is which parameter of MindFormers, by the rules of its family."""
