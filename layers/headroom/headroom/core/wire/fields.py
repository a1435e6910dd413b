"""Reading the members of a JSON object, each with an error that names it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from headroom.core.errors import InvalidRequest

Fields = Mapping[str, Any]

# Without C0 and C1, among them CR, LF and NUL, and the line breaks that Unicode adds.
ONE_LINE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_json(text: str | None) -> object:
    """Read a JSON document as the standard has it: no NaN, no Infinity, no number beyond a float.

    Raises:
        InvalidRequest: it is not JSON.
    """
    try:
        document: object = json.loads(text or "", parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("body", "must be a JSON document") from error
    return document


def as_object(value: object, field: str) -> Fields:
    """Return a JSON object.

    Raises:
        InvalidRequest: it is something else.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(field, "must be an object")
    return value


def known_only(fields: Fields, known: frozenset[str], path: str = "") -> None:
    """Check that an object has no members but these: a misspelt option must not be ignored.

    Raises:
        InvalidRequest: it has another one.
    """
    for name in fields:
        if name not in known:
            raise InvalidRequest(f"{path}{legible(name[:64])}", "is not a member of this request")


def text(
    fields: Fields,
    name: str,
    *,
    length_max: int,
    pattern: re.Pattern[str] | None = None,
    path: str = "",
) -> str:
    """Return a required string.

    Raises:
        InvalidRequest: missing, not a string, empty, too long or of another form.
    """
    value = fields.get(name)
    field = f"{path}{name}"
    if type(value) is not str:
        raise InvalidRequest(field, "must be a string")
    if not 1 <= len(value) <= length_max:
        raise InvalidRequest(field, f"must have 1 to {length_max} characters")
    if pattern is not None and not pattern.fullmatch(value):
        raise InvalidRequest(field, f"must match {pattern.pattern}")
    if legible(value) != value:
        raise InvalidRequest(field, "must be Unicode text, without lone surrogates")
    return value


def line(
    fields: Fields,
    name: str,
    *,
    length_max: int,
    pattern: re.Pattern[str] | None = None,
    path: str = "",
) -> str:
    """Return a required string of one line: a name or an address, which may head a mail.

    Raises:
        InvalidRequest: as for `text`, or it has a line break or another control character.
    """
    value = text(fields, name, length_max=length_max, path=path)
    one_line(value, f"{path}{name}")
    if pattern is not None and not pattern.fullmatch(value):
        raise InvalidRequest(f"{path}{name}", f"must match {pattern.pattern}")
    return value


def one_line(value: str, field: str) -> str:
    """Return a text that has neither line breaks nor other control characters.

    Raises:
        InvalidRequest: it has one.
    """
    if not ONE_LINE.fullmatch(value):
        raise InvalidRequest(field, "must have no line breaks and no other control characters")
    return value


def optional_text(
    fields: Fields,
    name: str,
    *,
    length_max: int,
    pattern: re.Pattern[str] | None = None,
    path: str = "",
) -> str | None:
    """Return an optional string, None if it is missing or null.

    Raises:
        InvalidRequest: not a string, empty, too long or of another form.
    """
    if fields.get(name) is None:
        return None
    return text(fields, name, length_max=length_max, pattern=pattern, path=path)


def whole(fields: Fields, name: str, *, least: int, most: int, path: str = "") -> int:
    """Return a required whole number.

    Raises:
        InvalidRequest: missing, not a whole number, or out of bounds.
    """
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:
        raise InvalidRequest(f"{path}{name}", f"must be a whole number from {least} to {most}")
    return value


def optional_whole(
    fields: Fields, name: str, *, least: int, most: int, path: str = ""
) -> int | None:
    """Return an optional whole number, None if it is missing or null.

    Raises:
        InvalidRequest: not a whole number, or out of bounds.
    """
    if fields.get(name) is None:
        return None
    return whole(fields, name, least=least, most=most, path=path)


def flag(fields: Fields, name: str, path: str = "") -> bool:
    """Return a required boolean.

    Raises:
        InvalidRequest: missing, or not a boolean; null is none.
    """
    value = fields.get(name)
    if type(value) is not bool:
        raise InvalidRequest(f"{path}{name}", "must be true or false")
    return value


def optional_flag(fields: Fields, name: str, path: str = "") -> bool | None:
    """Return an optional boolean, None if it is missing or null.

    Raises:
        InvalidRequest: not a boolean.
    """
    value = fields.get(name)
    if value is not None and type(value) is not bool:
        raise InvalidRequest(f"{path}{name}", "must be true or false")
    return value


def choice(fields: Fields, name: str, choices: tuple[str, ...], path: str = "") -> str:
    """Return a required string that is one of a few.

    Raises:
        InvalidRequest: missing, or none of them.
    """
    value = fields.get(name)
    if value not in choices or type(value) is not str:
        listed = ", ".join(choices)
        raise InvalidRequest(f"{path}{name}", f"must be one of {listed}")
    return value


def moment(fields: Fields, name: str, path: str = "") -> datetime:
    """Return a required RFC 3339 moment, in UTC.

    Raises:
        InvalidRequest: missing, or not such a moment.
    """
    value = fields.get(name)
    problem = InvalidRequest(f"{path}{name}", 'must be a moment such as "2026-11-23T12:00:00Z"')
    if type(value) is not str or not _MOMENT.fullmatch(value):
        raise problem
    # Python reads at most six digits of a second's fraction.
    value = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", value.upper())
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise problem from error


def digest_of(document: object) -> str:
    """Return a hash of a JSON document that ignores the order of its members."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def nests_within(value: object, levels: int) -> bool:
    """Tell whether a document has at most so many levels of objects and lists inside each other."""
    match value:
        case dict():
            inner = list(value.values())
        case list():
            inner = value
        case _:
            return True
    return levels > 0 and all(nests_within(each, levels - 1) for each in inner)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is beyond any float")
    return value


def legible(text: str) -> str:
    """Replace lone surrogates, which JSON can escape but no UTF-8 can carry."""
    return text if text.isascii() else text.encode(errors="replace").decode()
