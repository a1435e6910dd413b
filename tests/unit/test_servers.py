"""Servers of this machine keep their addresses, because others know them."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tools import servers
from tools.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(
        "The server",
        process_file=tmp_path / "process.json",
        port_file=tmp_path / "port",
        log=tmp_path / "log",
        health_path="/",
    )


def listen() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


def test_a_server_that_was_killed_gets_its_port_again_when_it_is_let_go(server: Server) -> None:
    """Its threads end one after another, and until the last has, the port is taken."""
    held = listen()
    port: int = held.getsockname()[1]
    server.port_file.write_text(str(port))
    letting_go = threading.Timer(0.3, held.close)
    letting_go.start()

    assert server.choose_port(1) == port == server.port
    letting_go.join()


def test_where_somebody_else_listens_it_goes_elsewhere(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PORT_PATIENCE_SECONDS", 0.1)
    with listen() as others:
        port: int = others.getsockname()[1]
        server.port_file.write_text(str(port))

        assert server.choose_port(1) not in (port, 1)
        assert server.choose_port(1, asked=port) == port
