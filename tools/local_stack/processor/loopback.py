"""localstripe on the loopback interface only, with its store where it is told to be.

Run by the stack's own Python: python loopback.py PORT STORE. By itself localstripe would listen
on every address, and write its whole store under /tmp at every change; here it writes it in the
end, as the local AWS does, so that the two agree after a crash.
"""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    # By name: they are in the stack's environment, and not where this is checked.
    web: Any = import_module("aiohttp.web")
    resources: Any = import_module("localstripe.resources")
    server: Any = import_module("localstripe.server")

    port, place = int(sys.argv[1]), Path(sys.argv[2])
    resources.Store.dump_to_disk = lambda self: None
    if place.exists():
        resources.store.update(pickle.loads(place.read_bytes()))  # noqa: S301  (we wrote it)

    async def keep(app: Any) -> None:
        written = place.with_suffix(".new")
        written.write_bytes(pickle.dumps(dict(resources.store)))
        written.replace(place)

    server.app.on_cleanup.append(keep)
    web.run_app(server.app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
