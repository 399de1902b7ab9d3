"""Tokenizers: sentencepiece and Hugging Face tokenizer.json."""
