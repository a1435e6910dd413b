"""Billing periods, and the days and weeks of shorter limits.

A billing period is a calendar month in the organization's time zone, written "2026-11" so that
text sorts as time. Days and weeks are UTC, whatever the organization's zone. All are half open:
the end is the first moment of the next.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headroom.core.errors import InvalidRequest

_PERIOD: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_ZONE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_ZONE_NAME_LENGTH_MAX: Final = 64
# Files of the time zone database that name the machine's own zone, or none.
_NO_ZONES: Final = ("localtime", "posixrules", "Factory")


def parse_time_zone(value: object, field: str) -> str:
    """Read the name of an IANA time zone, such as "Europe/Berlin".

    Raises:
        InvalidRequest: not the name of a zone in the time zone database.
    """
    if type(value) is str and len(value) <= _ZONE_NAME_LENGTH_MAX and _ZONE_NAME.fullmatch(value):
        try:
            time_zone(value)
        # A folder of the database, such as "America", surfaces as an OSError.
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
        else:
            return value
    raise InvalidRequest(field, 'must be an IANA time zone such as "UTC" or "Europe/Berlin"')


def time_zone(name: str) -> tzinfo:
    """Return the zone of a name that `parse_time_zone` let through.

    Raises:
        ZoneInfoNotFoundError: the name is not a zone (a bug, if the name was stored).
    """
    if name == "UTC":
        return UTC
    if name in _NO_ZONES or name.startswith(("posix/", "right/")):
        raise ZoneInfoNotFoundError(name)
    return ZoneInfo(name)


def parse_period(value: object, field: str) -> str:
    """Read a billing period such as "2026-11".

    Raises:
        InvalidRequest: not four digits, a hyphen and a month.
    """
    if type(value) is not str or not _PERIOD.fullmatch(value) or not "0001" < value < "9999":
        raise InvalidRequest(field, 'must be a month such as "2026-11"')
    return value


def period_of(now: datetime, zone: tzinfo) -> str:
    """Return the billing period that a moment lies in.

    Agrees with `period_bounds` at every moment, also where clocks set back just after midnight
    show the end of the old month again when the new one has begun.
    """
    _require_utc(now)
    local = now.astimezone(zone)
    period = f"{local.year:04d}-{local.month:02d}"
    start, end = period_bounds(period, zone)
    if now < start:
        return previous_period(period)
    return next_period(period) if now >= end else period


def period_bounds(period: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the first moment of a billing period and of the one after it, in UTC."""
    return _month_start(period, zone), _month_start(next_period(period), zone)


def next_period(period: str) -> str:
    """Return the billing period after this one."""
    year, month = _year_and_month(period)
    return f"{year + month // 12:04d}-{month % 12 + 1:02d}"


def previous_period(period: str) -> str:
    """Return the billing period before this one."""
    year, month = _year_and_month(period)
    return f"{year - (month == 1):04d}-{(month - 2) % 12 + 1:02d}"


def day_of(now: datetime) -> str:
    """Return the UTC day of a moment, such as "2026-11-23"."""
    _require_utc(now)
    return now.date().isoformat()


def day_bounds(day: str) -> tuple[datetime, datetime]:
    """Return the first moment of a UTC day and of the next."""
    start = _midnight(date.fromisoformat(day))
    return start, start + timedelta(days=1)


def week_of(now: datetime) -> str:
    """Return the week of a moment as the day of its Monday, such as "2026-11-23"."""
    _require_utc(now)
    today = now.date()
    return (today - timedelta(days=today.weekday())).isoformat()


def week_bounds(monday: str) -> tuple[datetime, datetime]:
    """Return the first moment of the UTC week that begins on `monday`, and of the next."""
    first = date.fromisoformat(monday)
    if first.weekday():
        raise ValueError(f"{monday} is not a Monday")
    start = _midnight(first)
    return start, start + timedelta(days=7)


def _month_start(period: str, zone: tzinfo) -> datetime:
    """Return the first moment of a month by the zone's clocks, in UTC.

    Fold 0 decides the odd cases: where midnight comes twice it is the first; where clocks skip
    it, it is when midnight would have been.
    """
    year, month = _year_and_month(period)
    return datetime(year, month, 1, tzinfo=zone).astimezone(UTC)


def _year_and_month(period: str) -> tuple[int, int]:
    if not (found := _PERIOD.fullmatch(period)):
        raise ValueError(f"expected a period such as '2026-11', got {period!r}")
    return int(found[1]), int(found[2])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _require_utc(now: datetime) -> None:
    if now.utcoffset() != timedelta(0):
        raise ValueError(f"expected a time in UTC, got {now!r}")
