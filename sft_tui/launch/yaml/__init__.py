"""Builds the YAML files of MindFormers."""
