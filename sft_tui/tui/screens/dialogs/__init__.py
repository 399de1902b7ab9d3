"""Dialogs: questions that are asked over a screen."""
