"""The screens that are not wizard steps."""
