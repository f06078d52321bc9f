"""A page of an origin of its own, and the browser that opens it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.template import ROOT
from tests.stack.running import until

OPENAI = ROOT / ".local/node/node_modules/openai"
BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
QUIET = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    # The page is our own, and a container has no sandbox.
    "--no-sandbox",
)


def installed() -> str | None:
    """Return a browser of Chromium's kind, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def scripted(told: str) -> str:
    """Return an SVG, all of one green, whose script posts to this URL that it ran."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="1024" height="1024">'
        '<rect width="1024" height="1024" fill="#00ff00"/><script>'
        f'fetch("{told}", {{method: "POST", mode: "no-cors", body: \'{{"ran": true}}\'}})'
        "</script></svg>"
    )


class Site(ThreadingHTTPServer):
    """Serves a page, its task and openai-node, and keeps what the page posts."""

    def __init__(self, origin: str, page: str, task: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", urlsplit(origin).port or 80), Visitor)
        self.page = Path(__file__).with_name(page).read_bytes()
        self.task = json.dumps(task).encode()
        self.outcomes: list[dict[str, Any]] = []


class Visitor(BaseHTTPRequestHandler):
    """Answers the browser."""

    server: Site

    def do_GET(self) -> None:
        if self.path == "/":
            self._send("text/html", self.server.page)
        elif self.path == "/task":
            self._send("application/json", self.server.task)
        elif self.path.startswith("/openai/"):
            self._send("text/javascript", (OPENAI / self.path[8:]).read_bytes())
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._send("text/plain", b"")
        self.server.outcomes.append(json.loads(body))

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def visit(browser: str, site: Site, folder: Path) -> dict[str, Any]:
    """Open the site's page with a fresh profile in ``folder``; return what it posts."""
    url = f"http://127.0.0.1:{site.server_port}/"
    with _served(site), _opened(browser, url, folder) as process:
        until(lambda: site.outcomes or process.poll() is not None)
        assert site.outcomes, (folder / "browser.log").read_text()
        return site.outcomes[0]


@contextmanager
def _served(site: Site) -> Iterator[None]:
    with site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield
        site.shutdown()


@contextmanager
def _opened(browser: str, url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [browser, *QUIET, f"--user-data-dir={folder}/profile", url]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | {"HOME": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
