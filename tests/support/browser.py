"""The dashboard as somebody sees it: a headless Chromium, and a server of made-up figures for the page to ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from tests.support.tools import program

from tailrace.ops import page

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--force-device-scale-factor=1", "--window-size=1280,900"),
)


class Browser:
    """One window. What it logs and asks for is told once: `complaints` and `requests` empty what they tell."""

    def __init__(self, directory: Path) -> None:
        options = Options()
        options.binary_location = program("chromium", "chromium-browser", "google-chrome", package="chromium")
        for flag in (*_FLAGS, f"--user-data-dir={directory}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(program("chromedriver", package="chromium-driver"))
        self._chrome = Chrome(options=options, service=service)
        self._chrome.set_page_load_timeout(20)
        self._chrome.set_script_timeout(10)

    def close(self) -> None:
        self._chrome.quit()

    def open(self, url: str) -> None:
        """The page there, as for the first time: nothing of former visits is kept."""
        self._chrome.get("about:blank")
        self._chrome.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "local_storage"})
        self.complaints()
        self.requests()
        self._chrome.get(f"{url}/")

    def js(self, script: str, *arguments: Any) -> Any:
        return self._chrome.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first that matches, with plain spaces; nothing matches: nothing."""
        found = self.js("return document.querySelector(arguments[0])?.textContent ?? ''", selector)
        return " ".join(str(found).split())

    def figure(self, name: str) -> int:
        """A whole number that the page shows, its grouping taken out; -1: there is none."""
        digits = "".join(self.text(f'[data-figure="{name}"]').split())
        return int(digits) if digits.isdecimal() else -1

    def press(self, *keys: str) -> None:
        """Each key once, on whatever has the focus."""
        for key in keys:
            ActionChains(self._chrome).send_keys(key).perform()

    def look(self, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """The window's inner size and what the system prefers: light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        preferred = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", preferred)

    def complaints(self) -> list[str]:
        """What the console was told since the last call, errors of the page and refusals of the policy with it."""
        return [str(entry["message"]) for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """The URLs that were asked for since the last call, as the browser's own network log has them."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        sent = [each["params"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [str(each["request"]["url"]) for each in sent]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._chrome.get_log(kind)  # type: ignore[no-untyped-call]
        return entries


class Made:
    """What the page is told: `status` is replaced while it looks; None: the connection is closed instead."""

    def __init__(self, url: str, status: dict[str, Any]) -> None:
        self.url = url
        self.status: dict[str, Any] | None = status
        self.history: dict[str, Any] = {"format": 1, "step_s": 5, "now": status["now"], "sources": {}}


@contextmanager
def telling(status: dict[str, Any]) -> Iterator[Made]:
    """The page with its headers, and these figures under it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._send(page.PAGE, page.CONTENT_TYPE, page.HEADERS)
            elif made.status is not None:
                said = {"/status": made.status, "/history": made.history}[self.path]
                self._send(json.dumps(said).encode(), "application/json", {})

        def _send(self, body: bytes, content_type: str, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Requests are not logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Made(f"http://127.0.0.1:{server.server_port}", status)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
