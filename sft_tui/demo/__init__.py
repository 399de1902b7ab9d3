"""The rehearsal: a toy model, data and a profile."""
