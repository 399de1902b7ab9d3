"""Runs MindFormers; imported by the training interpreter, Python 3.9 and later."""
