"""Who delivers an outbox, and whether they still run: the kernel knows.

Whoever leases entries holds a lock on a file of their own beside the outbox. The kernel frees it
when the process ends, however it ends, and never before. So a lock that can be had is a death, at
once, without a clock; an id of a process could be another's by then, or mean nothing here, in a
container.

Where files cannot be locked, on Windows for one, only the end of a lease tells.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl

# When this module was imported, or forked: near the process's start, where nobody tells that.
_imported_at = time.time()
# Descriptors with the locks of this process. A lock lives as long as any copy of its descriptor.
_held: set[int] = set()


class Owner:
    """This process, as one that leases. Process, host and start are for people to read."""

    def __init__(self, outbox: Path) -> None:
        self.id = secrets.token_hex(8)
        self.pid = os.getpid()
        self.host = socket.gethostname()
        self.since = started_at()
        self._path = life_file(outbox, self.id)
        self._descriptor = self._hold()

    @property
    def is_locked(self) -> bool:
        """Whether others can see by the lock that this process runs."""
        return self._descriptor is not None

    def let_go(self) -> None:
        """Remove the lock and its file; one that a fork inherited is not ours to remove."""
        if self._descriptor is None or self._descriptor not in _held or self.pid != os.getpid():
            return
        self._path.unlink(missing_ok=True)
        _held.discard(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None

    def _hold(self) -> int | None:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError:
            return None
        _held.add(descriptor)
        try:
            if _lock(descriptor, shared=False):
                return descriptor
        except OSError:
            pass
        _held.discard(descriptor)
        os.close(descriptor)
        self._path.unlink(missing_ok=True)
        return None


def started_at() -> float:
    """Return when this process started, as near as its platform tells."""
    try:
        told = Path("/proc/self/stat").read_text()
        # Behind the command's name, which may have spaces, the 22nd field is the 20th.
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        ticks = int(told.rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return _imported_at
    return time.time() - age


def is_gone(outbox: Path, owner_id: str) -> bool:
    """Whether the process of an owner who held a lock has ended."""
    try:
        descriptor = os.open(life_file(outbox, owner_id), os.O_RDONLY)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        # Shared, so that two who look at the same time do not take each other for the owner.
        return _lock(descriptor, shared=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def owner_ids(outbox: Path) -> set[str]:
    """Return the names of those who left a file, dead or alive."""
    prefix = life_file(outbox, "").name
    files = outbox.absolute().parent.iterdir()
    return {file.name.removeprefix(prefix) for file in files if file.name.startswith(prefix)}


def life_file(outbox: Path, owner_id: str) -> Path:
    """Return the file whose lock an owner holds."""
    return outbox.with_name(f"{outbox.name}-owner-{owner_id}")


def _lock(descriptor: int, *, shared: bool) -> bool:
    """Lock a file; return False if another has it.

    Raises:
        OSError: files cannot be locked here.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOSYS, "no locks that end with their process")
    # Not `lockf`: its locks end when this process closes any descriptor of the file.
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _begin_anew() -> None:
    """Let the locks end with the process that took them, though its fork goes on."""
    global _imported_at
    _imported_at = time.time()
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
