"""The dashboard page as a file: whole in itself, small, and held to that by its headers."""

from __future__ import annotations

import base64
import hashlib
import re

from tailrace.ops import page

TEXT = page.PAGE.decode()


def directives() -> dict[str, list[str]]:
    words = [each.split() for each in page.HEADERS["Content-Security-Policy"].split(";")]
    return {name: sources for name, *sources in words}


def test_it_refers_to_nothing_outside() -> None:
    """No address of another host, no imported style, no file beside it: only the paths that `run` answers."""
    assert not re.search(r"https?:|wss?:|@import|url\(", TEXT, re.IGNORECASE)
    assert not re.search(r"""["'(=]\s*//""", TEXT)
    linked = re.findall(r"""(?:href|src|action|data)\s*=\s*["']([^"']*)""", TEXT)
    assert set(linked) == {"data:,", "#main", "status", "history", "metrics", "readyz"}


def test_it_is_small() -> None:
    """Below 60 kB, so that it comes at once through a bad connection, too."""
    assert 10_000 < len(page.PAGE) < 60_000


def test_the_policy_allows_no_other_origin() -> None:
    """Nothing by default, no origin but its own and that for figures only, nothing inline but what has a digest."""
    policy = directives()
    assert policy["default-src"] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    allowed = {each for sources in policy.values() for each in sources}
    assert {each for each in allowed if not each.startswith("'sha256-")} == {"'none'", "'self'", "data:"}
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == ["'none'"], name


def test_the_policy_allows_the_page_itself() -> None:
    """The one script and the one style of the page have their digests in it; nothing is inline elsewhere."""
    policy = directives()
    for tag in ("script", "style"):
        (block,) = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", TEXT, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == [f"'sha256-{digest}'"]
    markup = re.sub(r"<(script|style)>.*?</\1>", "", TEXT, flags=re.DOTALL)
    assert not re.search(r"\s(style|on[a-z]+)\s*=", markup)


def test_texts_are_never_markup() -> None:
    """The script has no way to make markup, or code, out of a text."""
    ways = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|eval\(|new Function|createContextual"
    )
    assert not re.search(ways, TEXT)
