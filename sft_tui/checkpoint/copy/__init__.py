"""Moves values of tensors from file to file: cast, checked, in constant memory."""
