"""The dashboard: one page that asks `/status` and `/history` of where it came from, and nobody else.

The headers hold the browser to that: no other script and style than the page's own, by their digests, no other
origin, no frame around it. What the server says can therefore not become a script, even if the page had a defect.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

CONTENT_TYPE = "text/html; charset=utf-8"

PAGE = resources.files("tailrace.ops").joinpath("page.html").read_bytes()


def policy(page: bytes) -> str:
    """The Content-Security-Policy under which this page, and nothing else, works."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digests(page, b'script')}",
            f"style-src {_digests(page, b'style')}",
            "connect-src 'self'",
            "img-src data:",  # an empty icon, so that the browser asks for none
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _digests(page: bytes, tag: bytes) -> str:
    """HAZARD: a browser takes the digest of exactly what stands between the tags, white space and all."""
    blocks = re.findall(b"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(block).digest()).decode()}'" for block in blocks)


HEADERS = {"Content-Security-Policy": policy(PAGE), "Referrer-Policy": "no-referrer"}
