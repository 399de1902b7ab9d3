"""Which environment variables hold something that must not be written down: told by their names.

Environment values with such names go from the submitter to the supervisor to the step by environment alone; spec,
events and shown commands have their names.
"""

from __future__ import annotations

import re

_SECRET_WORDS = frozenset(
    {
        "auth", "credential", "credentials", "key", "pass", "passphrase", "pat", "tokens",
    }
)  # fmt: skip
_SECRET_ENDS = ("accesskey", "apikey", "passwd", "password", "secret", "secretkey", "token")


def looks_secret(name: str) -> bool:
    """Whether a variable of that name may hold a token, a password or a key (`HF_TOKEN`, `AWS_SECRET_ACCESS_KEY`)."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return not _SECRET_WORDS.isdisjoint(words) or any(word.endswith(_SECRET_ENDS) for word in words)
