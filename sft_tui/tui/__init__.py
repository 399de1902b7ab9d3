"""The wizard, in Textual."""
