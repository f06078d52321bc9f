"""The fault proxy knows who calls it."""

import os
import socket
from pathlib import Path

import pytest

from tests.stack.chaos.proxy import Line, callers_inode

LISTED = Path("/proc/net/tcp").exists()


@pytest.mark.skipif(not LISTED, reason="Linux alone lists its lines so")
def test_a_callers_line_is_known_though_its_port_serves_another():
    """The kernel gives one port to several connections, as long as they go to several places."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        lines, port = [], 0
        for server in (one, two):
            caller = socket.socket()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            caller.bind(("127.0.0.1", port))
            caller.connect(server.getsockname())
            port = caller.getsockname()[1]
            lines.append(caller)
        for caller in lines:
            line = Line(port, caller.getpeername()[1])
            assert callers_inode(line) == os.fstat(caller.fileno()).st_ino
            caller.close()
