"""From what MindFormers saved back to a Hugging Face folder."""
