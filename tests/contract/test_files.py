"""What is promised of kept documents, held by the one in memory and the one in S3 alike."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto import mock_aws

from headroom.core.gateways.files import PART_BYTES, Files, S3Files
from tests.memory_files import MemoryFiles


@pytest.fixture(params=["memory", "s3"])
def files(request: pytest.FixtureRequest) -> Iterator[Files]:
    if request.param == "memory":
        yield MemoryFiles()
        return
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="documents")
        yield S3Files("documents", "us-east-1")


def test_what_was_written_is_read(files: Files) -> None:
    files.put("a/b.json", b"{}", "application/json")

    assert files.get("a/b.json") == b"{}"
    assert files.size("a/b.json") == 2


def test_what_was_never_written_is_none(files: Files) -> None:
    assert files.get("nowhere") is None
    assert files.size("nowhere") is None


def test_writing_again_replaces(files: Files) -> None:
    files.put("name", b"one", "text/plain")
    files.put_stream("name", [b"two"], "text/plain")

    assert files.get("name") == b"two"


@pytest.mark.parametrize("parts", [0, 1, 2, 5])
def test_a_stream_of_any_length_arrives_whole(files: Files, parts: int) -> None:
    chunk = b"0123456789abcdef" * (PART_BYTES // 32)
    body = chunk * parts + b"end"

    files.put_stream("long", iter([*[chunk] * parts, b"end"]), "text/csv")

    assert files.size("long") == len(body)
    assert files.get("long") == body


def test_a_link_names_the_file_and_ends() -> None:
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="documents")
        address = urlsplit(S3Files("documents", "us-east-1").link("a/b.csv", "my.csv"))

    assert address.path == "/documents/a/b.csv"
    query = parse_qs(address.query)
    assert query["response-content-disposition"] == ['attachment; filename="my.csv"']
    assert "Signature" in str(query)
