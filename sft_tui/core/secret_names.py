"""Which environment variables hold something that must not be written down: told by their names."""

from __future__ import annotations

import re

_SECRET_WORDS = frozenset(
    {
        "auth", "apikey", "credential", "credentials", "key", "passphrase", "passwd", "password", "pat", "secret",
        "token", "tokens",
    }
)  # fmt: skip


def looks_secret(name: str) -> bool:
    """Whether a variable of that name may hold a token, a password or a key (`HF_TOKEN`, `AWS_SECRET_ACCESS_KEY`)."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return not _SECRET_WORDS.isdisjoint(words) or any(word.endswith(("password", "token")) for word in words)
