"""Programs that a tool starts in the background, and later stops: those and no others.

A process id alone is not enough to stop by, since the system hands it out again. So the id is
kept together with the moment the process started, and both must still match.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Started:
    """A background process, told apart from a later one that got the same id."""

    pid: int
    birth: str

    def is_alive(self) -> bool:
        return _birth(self.pid) == self.birth


def start(
    command: Sequence[str | Path], *, environment: Mapping[str, str], log: Path, folder: Path
) -> Started:
    """Start `command` in `folder` and a session of its own, so that it outlives this one."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    birth = _birth(process.pid)
    process.returncode = 0  # We follow it by its id from here; Popen would warn that it still runs.
    return Started(process.pid, birth if birth is not None else "ended at once")


def stop(process: Started, *, patience_seconds: float) -> bool:
    """Ask the process to end, and end it and its children if it does not; False if it is gone."""
    if not process.is_alive():
        return False
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    # It leads its own session, so this group is its children's and nobody else's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    while process.is_alive():
        time.sleep(POLL_SECONDS)
    return True


def remember(process: Started, path: Path) -> None:
    path.write_text(json.dumps(asdict(process)))


def recall(path: Path) -> Started | None:
    """Return the process noted at `path` if it still runs."""
    try:
        process = Started(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if process.is_alive() else None


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if nobody listens there, else a port that the system picks."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise OSError("no free port on the loopback interface")


def tail(log: Path, lines: int = 40) -> str:
    """Return the end of a log, for a message about why something failed."""
    if not log.exists():
        return "(no log was written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _birth(pid: int) -> str | None:
    """Return a text that names when process `pid` started, or None if it does not run."""
    # A child of ours that ended stays as a zombie until it is waited for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        # Field 22 counts from the closing bracket, since the program's name may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _birth_by_ps(pid) if not Path("/proc/self/stat").exists() else None
    return None if fields[0] == "Z" else fields[19]


def _birth_by_ps(pid: int) -> str | None:
    """The same where there is no /proc, as on macOS."""
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None
