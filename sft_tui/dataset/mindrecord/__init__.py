"""MindRecord files and what stands beside them."""
