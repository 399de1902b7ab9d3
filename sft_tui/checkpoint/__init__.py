"""Weights: Hugging Face to MindSpore and back, inspection, proof."""
