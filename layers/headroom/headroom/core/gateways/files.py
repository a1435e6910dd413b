"""Documents that are too large for the table: written once, read by their name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

# S3 takes parts of at least 5 MB, apart from the last.
PART_BYTES: Final = 8_000_000
LINK_SECONDS: Final = 300


class Files(Protocol):
    """Where documents are kept. Writing the same name again replaces what was there."""

    def put(self, name: str, body: bytes, content_type: str) -> None:
        """Write a document."""

    def put_stream(self, name: str, chunks: Iterable[bytes], content_type: str) -> None:
        """Write a document of any size, holding a part of it at a time."""

    def get(self, name: str) -> bytes | None:
        """Return a document, None if there is none of this name."""

    def size(self, name: str) -> int | None:
        """Return how many bytes a document has, None if there is none of this name."""

    def link(self, name: str, filename: str) -> str:
        """Return an address under which whoever has it may fetch the document for five minutes."""


class S3Files:
    """Documents in a bucket of S3."""

    def __init__(self, bucket: str, region: str) -> None:
        self._bucket = bucket
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            region_name=region,
            config=Config(
                retries={"mode": "standard"},
                s3={"addressing_style": "path"},
                signature_version="s3v4",
            ),
        )

    def put(self, name: str, body: bytes, content_type: str) -> None:
        self._client.put_object(Bucket=self._bucket, Key=name, Body=body, ContentType=content_type)

    def put_stream(self, name: str, chunks: Iterable[bytes], content_type: str) -> None:
        gathered = bytearray()
        upload: str | None = None
        parts: list[dict[str, Any]] = []
        place = {"Bucket": self._bucket, "Key": name}

        def send() -> None:
            number = len(parts) + 1
            sent = self._client.upload_part(
                **place, UploadId=upload, PartNumber=number, Body=bytes(gathered)
            )
            parts.append({"ETag": sent["ETag"], "PartNumber": number})
            gathered.clear()

        for chunk in chunks:
            gathered += chunk
            if len(gathered) >= PART_BYTES:
                if upload is None:
                    upload = self._client.create_multipart_upload(
                        **place, ContentType=content_type
                    )["UploadId"]
                send()
        if upload is None:
            self.put(name, bytes(gathered), content_type)
            return
        if gathered:
            send()
        # What a crash leaves unfinished is removed by the bucket's lifecycle rule.
        self._client.complete_multipart_upload(
            **place, UploadId=upload, MultipartUpload={"Parts": parts}
        )

    def get(self, name: str) -> bytes | None:
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        return body

    def size(self, name: str) -> int | None:
        try:
            return int(self._client.head_object(Bucket=self._bucket, Key=name)["ContentLength"])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def link(self, name: str, filename: str) -> str:
        address: str = self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": name,
                "ResponseContentDisposition": f'attachment; filename="{filename}"',
            },
            ExpiresIn=LINK_SECONDS,
        )
        return address
