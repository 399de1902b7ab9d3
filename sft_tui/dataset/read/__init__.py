"""From data files of any layout to conversations."""
