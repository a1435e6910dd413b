"""Files of a folder, served under a path that changes whenever one of them does."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headroom.core.wire.http import HttpAnswer, Request

CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
# Whoever has a file of this release has it for good: another content has another address.
FOR_EVER: Final = "public, max-age=31536000, immutable"
_RELEASE_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class File:
    """A file's content type and content, also compressed: the gateway compresses nothing."""

    content_type: str
    content: bytes
    compressed: bytes

    @classmethod
    def of(cls, name: str, content: bytes) -> File:
        """Prepare a file; the end of its name says what it is."""
        return cls(CONTENT_TYPES[Path(name).suffix], content, gzip.compress(content, mtime=0))


class Release:
    """All files of a folder, and the digest that names them together.

    Modules import one another by relative addresses, so one digest in their common path renews
    all of them at once, and no file has to be rewritten.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {name: File.of(name, content) for name, content in _read(folder)}
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(f"{name}\0{len(file.content)}\0".encode() + file.content)
        self.digest = digest.hexdigest()[:_RELEASE_LENGTH]

    def find(self, name: str) -> File | None:
        """Return a file by its path in the folder, None if there is none."""
        return self._files.get(name)

    def names(self, suffix: str) -> list[str]:
        """Return the names of the files of a kind, in order."""
        return [name for name in self._files if name.endswith(suffix)]


def serve(request: Request, file: File, headers: Mapping[str, str]) -> HttpAnswer:
    """Answer with a file, compressed where the client takes that."""
    takes_gzip = "gzip" in (request.header("accept-encoding") or "")
    body = file.compressed if takes_gzip else file.content
    return {
        "statusCode": 200,
        "headers": {
            "content-type": file.content_type,
            "request-id": request.id,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            **({"content-encoding": "gzip"} if takes_gzip else {}),
            **headers,
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
