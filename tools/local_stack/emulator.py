"""ministack, the local AWS: one process, on the loopback interface only, with its own folders."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3

from tools.local_stack.durable import LEFT_BEHIND
from tools.servers import Server, ServerFailed

ROOT = Path(__file__).resolve().parents[2]
# Where `make up` keeps its stack. The tests point the documents' commands at one of their own.
HOME = ROOT / (os.environ.get("STACK_HOME") or ".local")
STACK_PYTHON = ROOT / ".venv-stack" / "bin" / "python"
DURABLE = Path(__file__).with_name("durable.py")

REGION = "us-east-1"
PORT_PREFERRED = 4566
# A start makes again what a journal has, which may be a long replay's.
START_PATIENCE_SECONDS = 300.0
# It writes its state when asked to, and a long replay leaves much of it.
STOP_PATIENCE_SECONDS = 60.0
SNAPSHOT_PATIENCE_SECONDS = 300.0
# Requests to the application that run at the same time; the others wait for their turn. Each has
# a process, which takes seconds of a processor to start. When many start at once, none is done
# before its function's time is over, and all are killed and started again: nobody is answered.
REQUESTS_AT_ONCE = 2 * (os.cpu_count() or 1)
# How long a process that has nothing to do is kept, so that the next burst finds it.
WARM_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Emulator:
    """One emulator with its state, log and process note under `home`.

    A `strict` one lets a function do what its role allows and no more, as AWS does, and knows
    no client but the one whose key is "test".
    """

    home: Path
    strict: bool = False

    @property
    def endpoint_url(self) -> str:
        """Where it answers. It keeps its port, because queue addresses carry it."""
        return self._server.url

    @property
    def session(self) -> boto3.Session:
        """A session whose clients need `endpoint_url` besides."""
        return boto3.Session("test", "test", region_name=REGION)

    @property
    def running(self) -> bool:
        return self._server.running

    def start(self, *, port: int | None = None, persistent: bool = True) -> None:
        """Start it and wait until it answers; does nothing if it runs.

        Raises:
            ServerFailed: it ended by itself, or gave no answer within its patience.
        """
        if self.running:
            return
        if not STACK_PYTHON.exists():
            raise ServerFailed(f"{STACK_PYTHON} is missing; `make up` builds it")
        if self._temporary.exists():
            # Workers of the last run, unpacked: so many files that the new process removes them.
            self._temporary.rename(self.home / f"{LEFT_BEHIND}{time.time_ns()}")
        for folder in (self._state, self._objects, self._temporary):
            folder.mkdir(parents=True, exist_ok=True)
        chosen = self._server.choose_port(PORT_PREFERRED, asked=port)
        self._server.start(
            [STACK_PYTHON, "-P", DURABLE],
            environment=self._environment(chosen, persistent=persistent),
            folder=self.home,
            patience_seconds=START_PATIENCE_SECONDS,
        )

    def stop(self) -> bool:
        """End it, letting it write its state; False if it was not running."""
        return self._server.stop(patience_seconds=STOP_PATIENCE_SECONDS)

    def snapshot(self) -> None:
        """Write the state as it is, so that a crash falls back to this and not to the start.

        What a table acknowledges afterwards is kept besides, in a journal.

        Raises:
            ServerFailed: a part of the state could not be written.
        """
        request = urllib.request.Request(  # noqa: S310  (our own http address)
            f"{self.endpoint_url}/_local_stack/snapshot", method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=SNAPSHOT_PATIENCE_SECONDS):  # noqa: S310
                pass
        except urllib.error.HTTPError as error:
            raise ServerFailed(f"no snapshot was written: {error.read().decode()}") from error

    def forget(self) -> None:
        """Throw the state away; the next start is an empty account."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _environment(self, port: int, *, persistent: bool) -> dict[str, str]:
        return {
            **clean_environment(),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(self._temporary),
            "STATE_DIR": str(self._state),
            "S3_DATA_DIR": str(self._objects),
            "S3_PERSIST": "1" if persistent else "0",
            "PERSIST_STATE": "1" if persistent else "0",
            "MINISTACK_REGION": REGION,
            "AUTH": "true" if self.strict else "false",
            "LOG_LEVEL": "WARNING",
            "REQUESTS_AT_ONCE": str(REQUESTS_AT_ONCE),
            "LAMBDA_WARM_TTL_SECONDS": str(WARM_SECONDS),
        }

    @property
    def _state(self) -> Path:
        return self.home / "state"

    @property
    def _objects(self) -> Path:
        return self.home / "s3"

    @property
    def _temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def _server(self) -> Server:
        return Server(
            "ministack",
            process_file=self.home / "process.json",
            port_file=self.home / "port",
            log=self.home / "ministack.log",
            health_path="/_ministack/health",
        )


def clean_environment() -> dict[str, str]:
    """Return this environment without what would lead an AWS client or a Python astray.

    The emulator hands its own environment to the Lambdas, so a developer's profile or real
    credentials must not be in it.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTHON", "SAM_", "MAKE", "MFLAGS"))
    }
    nowhere = os.devnull
    return {
        **environment,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
