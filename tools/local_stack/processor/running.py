"""A processor as a program: it answers until it is asked to end, and keeps what it knows."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tools.local_stack.processor.desk import Tell
from tools.local_stack.processor.processor import Processor
from tools.local_stack.processor.server import ProcessorServer
from tools.local_stack.processor.upstream import LocalStripe, Upstream
from tools.local_stack.processor.webhooks import Webhooks, deliver_by_http


def run(make: Callable[[Upstream, Tell], Processor]) -> None:
    """Serve the processor that `make` returns, in the folder and on the port of the arguments."""
    home, port = Path(sys.argv[1]), int(sys.argv[2])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    stripe = LocalStripe(home)
    processor = make(stripe.upstream, lambda event: None)
    processor.load(home / "processor.json")
    webhooks = Webhooks(
        deliver_by_http(lambda: processor.desk.state.webhook_url),
        lambda: processor.desk.state.webhook_secret,
    )
    processor.desk.tell = webhooks.send
    saving = threading.Lock()

    def keep() -> None:
        with saving:
            processor.save(home / "processor.json")

    server = ProcessorServer(processor, port, keep)
    ended.wait()
    server.close()
    webhooks.stop()
    keep()
    stripe.stop()
