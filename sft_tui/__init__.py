"""sft-tui: from a Hugging Face checkpoint and an instruction dataset to a fine-tuned MindSpore model."""

__version__ = "0.1.0"
