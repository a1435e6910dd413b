"""localstripe on the loopback interface only, with its store where it is told to be.

Run by the stack's own Python: python loopback.py PORT STORE. By itself localstripe would listen
on every address, and write its whole store under /tmp at every change; here it writes it before
each answer to what may have changed it, so that what it answered is still there after a crash. It
ends when the process that started it does.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

FOLLOW_SECONDS: Final = 0.5


def main() -> None:
    # By name: they are in the stack's environment, and not where this is checked.
    web: Any = import_module("aiohttp.web")
    resources: Any = import_module("localstripe.resources")
    server: Any = import_module("localstripe.server")

    port, place = int(sys.argv[1]), Path(sys.argv[2])
    if place.exists():
        dict.update(resources.store, pickle.loads(place.read_bytes()))  # noqa: S301  (we wrote it)
    resources.Store.dump_to_disk = lambda self: None

    async def keep(request: Any, response: Any) -> None:
        if request.method != "GET":
            written = place.with_suffix(".new")
            written.write_bytes(pickle.dumps(dict(resources.store)))
            written.replace(place)

    async def follow_parent(app: Any) -> Any:
        parent = os.getppid()

        async def watch() -> None:
            while os.getppid() == parent:
                await asyncio.sleep(FOLLOW_SECONDS)
            os.kill(os.getpid(), signal.SIGTERM)

        watching = asyncio.create_task(watch())
        yield
        watching.cancel()

    server.app.on_response_prepare.append(keep)
    server.app.cleanup_ctx.append(follow_parent)
    web.run_app(server.app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
