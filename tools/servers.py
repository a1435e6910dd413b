"""Servers of this machine that a tool starts and leaves running: found again, awaited, stopped."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import processes

PORT_PATIENCE_SECONDS = 5.0


class ServerFailed(Exception):
    """A server did not start; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server on the loopback interface whose process, port and log are noted in files.

    It answers at `health_path` when it is up.
    """

    name: str
    process_file: Path
    port_file: Path
    log: Path
    health_path: str

    @property
    def port(self) -> int | None:
        """The port it was last given; it keeps it, because others know the address."""
        try:
            return int(self.port_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    @property
    def url(self) -> str:
        """Where it answers."""
        assert self.port is not None, f"{self.name} was never started"
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return processes.recall(self.process_file) is not None

    def choose_port(self, preferred: int, *, asked: int | None = None) -> int:
        """Note what it is to listen at: what is asked for, else what it had, else the preferred.

        Where somebody else listens there, it is any port that is free, unless it was asked for.
        """
        known = self.port
        port = asked or processes.free_port(known or preferred)
        # One of ours that was killed holds its port for as long as the system takes it apart.
        deadline = time.monotonic() + PORT_PATIENCE_SECONDS
        while not asked and known and port != known and time.monotonic() < deadline:
            time.sleep(processes.POLL_SECONDS)
            port = processes.free_port(known)
        self.port_file.write_text(str(port))
        return port

    def start(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path,
        patience_seconds: float,
    ) -> None:
        """Start `command`, which serves at the chosen port, and wait until it answers.

        Raises:
            ServerFailed: it ended by itself, or gave no answer within the patience.
        """
        process = processes.start(command, environment=environment, log=self.log, folder=folder)
        processes.remember(process, self.process_file)
        deadline = time.monotonic() + patience_seconds
        while not self._answers():
            if not process.is_alive() or time.monotonic() > deadline:
                processes.stop(process, patience_seconds=1)
                raise ServerFailed(
                    f"{self.name} did not answer at {self.url}. Its log ends:\n"
                    + processes.tail(self.log)
                )
            time.sleep(processes.POLL_SECONDS)

    def stop(self, *, patience_seconds: float) -> bool:
        """End it, letting it write its state; False if it was not running."""
        process = processes.recall(self.process_file)
        self.process_file.unlink(missing_ok=True)
        return process is not None and processes.stop(process, patience_seconds=patience_seconds)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self.health_path, timeout=2) as answer:  # noqa: S310 - ours
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
