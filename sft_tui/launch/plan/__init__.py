"""Builds the plan: steps, msrun, scripts."""
