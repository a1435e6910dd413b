"""Mail by Amazon SES."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from headroom.notifications.domain.letters.letter import Letter

# What an address may not have: SES would read several addresses, or a name beside one.
_NO_ADDRESS: Final = re.compile(r"[\s,;:<>()\[\]\\\"]|[^\x21-\x7e]")
ADDRESS_LENGTH_MAX: Final = 254
# What is wrong with this very mail. Anything else is wrong with us, and can be mended in time.
_NEVER: Final = frozenset({"MessageRejected", "BadRequestException"})
# SES rejects so what comes from an address (or, in its sandbox, goes to one) that it was not shown.
_NOT_SET_UP: Final = "not verified"
CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 10


class MailNotSent(Exception):
    """The mail was certainly not taken; the same may be tried again."""


class MailRefused(Exception):
    """The mail will never be taken: there is something wrong with it or its address."""


class MailUnknown(Exception):
    """There was no answer; the mail may have been sent."""


class Mailer(Protocol):
    """Whoever sends mail."""

    def send(self, letter: Letter) -> None:
        """Send one letter.

        Raises:
            MailNotSent, MailRefused, MailUnknown: see there.
        """


class SesMailer:
    """Sends through SES, each letter once: a lost answer must not become a second mail."""

    def __init__(self, sender: str, region: str, endpoint_url: str | None = None) -> None:
        self._sender = sender
        self._client: Any = botocore.session.get_session().create_client(
            "sesv2",
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
            ),
        )

    def send(self, letter: Letter) -> None:
        if len(letter.to) > ADDRESS_LENGTH_MAX or _NO_ADDRESS.search(letter.to):
            raise MailRefused("the address cannot be mailed to")
        try:
            self._client.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [letter.to]},
                Content={
                    "Simple": {
                        "Subject": _utf8(letter.subject),
                        "Body": {"Text": _utf8(letter.text), "Html": _utf8(letter.html)},
                    }
                },
            )
        except ClientError as error:
            raise _failure(error) from error
        except ConnectionError as error:
            raise MailNotSent(str(error)) from error
        except HTTPClientError as error:
            # Cut off after it was sent, or read no answer in time.
            raise MailUnknown(str(error)) from error


def _failure(error: ClientError) -> Exception:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500:
        return MailUnknown(code)
    if code in _NEVER and _NOT_SET_UP not in message:
        return MailRefused(f"{code}: {message}")
    return MailNotSent(f"{code}: {message}")


def _utf8(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": "UTF-8"}
