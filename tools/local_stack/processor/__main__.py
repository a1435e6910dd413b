"""Run the local payment processor: python -m tools.local_stack.processor FOLDER PORT."""

from __future__ import annotations

from tools.local_stack.processor.processor import Processor
from tools.local_stack.processor.running import run

if __name__ == "__main__":
    run(Processor)
