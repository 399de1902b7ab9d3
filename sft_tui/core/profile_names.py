"""Names of profiles and of their sections, for those who must not wait for the models of a profile."""

from __future__ import annotations

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SECTIONS: tuple[str, ...] = ("environment", "model", "weights", "dataset", "training", "nodes")
