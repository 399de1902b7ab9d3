"""Recognises a web page, of a login or a mirror, that was saved in place of a file."""

from __future__ import annotations

import re

HTML_HINT = "Download it again; if its page asks for a login or an agreement, do that first, or use another mirror."
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|script|meta)\b", re.IGNORECASE)


def is_html(head: bytes) -> bool:
    """Whether these are the first bytes of a web page."""
    return _START.match(head) is not None
