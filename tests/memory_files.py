"""Documents in a dictionary; what a test reads of them is what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class MemoryFiles:
    """`Files` in memory. `step` is called before each operation, with its name."""

    def __init__(self, step: Callable[[str], None] = lambda name: None) -> None:
        self.documents: dict[str, bytes] = {}
        self.step = step

    def put(self, name: str, body: bytes, content_type: str) -> None:
        self.step("put")
        self.documents[name] = body

    def put_stream(self, name: str, chunks: Iterable[bytes], content_type: str) -> None:
        self.put(name, b"".join(chunks), content_type)

    def get(self, name: str) -> bytes | None:
        self.step("get")
        return self.documents.get(name)

    def size(self, name: str) -> int | None:
        body = self.documents.get(name)
        return None if body is None else len(body)

    def link(self, name: str, filename: str) -> str:
        return f"https://documents.invalid/{name}?as={filename}"
