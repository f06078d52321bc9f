"""Serving the stand-in, in a thread or for itself, and steering one from any process."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from datetime import date
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.standin.app import StandinApp
from local.standin.calls import IMAGES

TODAY = date(2026, 11, 22)
"""The day whose models the table describes."""


class SeverableProtocol(H11Protocol):
    """HTTP/1.1 whose requests can reach their line, as ``scope["state"]["transport"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Remember the line for the requests that will come over it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}

    def shutdown(self) -> None:
        """Cut the line: a hung call would wait for ever to be finished gracefully."""
        self.transport.abort()


def server(host: str, port: int, today: date = TODAY) -> Server:
    """Return a server to run; it stops within about a second."""
    config = Config(
        StandinApp(today),
        host=host,
        port=port,
        http=SeverableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


class Control:
    """Steers a stand-in over HTTP, wherever it runs. ``root_url`` is without ``/v1``."""

    def __init__(self, root_url: str) -> None:
        self.root_url = root_url.rstrip("/")

    @property
    def base_url(self) -> str:
        """What an OpenAI SDK wants to know."""
        return f"{self.root_url}/v1"

    def rule(self, **fields: Any) -> None:
        """Add a rule: the fields of ``calls.Rule``. Raises HTTPError for an unknown one."""
        self._send("POST", "rules", fields)

    def clear_rules(self) -> None:
        """Forget the rules, not the calls."""
        self._send("DELETE", "rules")

    def rate(self, images_per_minute: int | None, seconds_per_minute: float = 60) -> None:
        """Limit the images of each model in a rolling minute, however long; None removes it."""
        limit = {"images_per_minute": images_per_minute, "seconds_per_minute": seconds_per_minute}
        self._send("PUT", "rate", limit if images_per_minute is not None else None)

    def calls(self, containing: str = "", path: str = IMAGES) -> list[dict[str, Any]]:
        """Return the calls (``calls.Call``) whose prompt and path contain these, oldest first."""
        query = urlencode({"containing": containing, "path": path})
        found: list[dict[str, Any]] = json.loads(self._send("GET", f"calls?{query}"))
        return found

    def reset(self) -> None:
        """Forget rules and calls."""
        self._send("POST", "reset")

    def _send(self, method: str, path: str, body: object = None) -> bytes:
        url = f"{self.root_url}/_standin/{path}"
        data = None if method == "GET" else json.dumps(body).encode()
        with urlopen(Request(url, data, method=method), timeout=10) as reply:
            answer: bytes = reply.read()
        return answer


class Standin(Control):
    """A stand-in in a thread of this process, on a free port, for the life of a ``with``."""

    def __init__(self, today: date = TODAY, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.create_server((host, port))
        bound: int = self._socket.getsockname()[1]
        super().__init__(f"http://{host}:{bound}")
        self._server = server(host, bound, today)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="standin", daemon=True
        )

    def __enter__(self) -> Self:
        """Start serving. Raises RuntimeError if the server does not come up."""
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the stand-in did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving, cutting whatever lines are open."""
        self._server.should_exit = True
        self._thread.join(10)
