"""From a profile to commands and YAML, and what runs them."""
