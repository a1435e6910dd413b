from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import pytest

from headroom.core.domain.periods import (
    day_bounds,
    day_of,
    next_period,
    parse_period,
    parse_time_zone,
    period_bounds,
    period_of,
    previous_period,
    time_zone,
    week_bounds,
    week_of,
)
from headroom.core.errors import InvalidRequest

TICK = timedelta(microseconds=1)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("UTC", utc(2026, 3, 1), utc(2026, 4, 1)),
        # Winter time (+1) at the start, summer time (+2) at the end.
        ("Europe/Berlin", utc(2026, 2, 28, 23), utc(2026, 3, 31, 22)),
        ("America/New_York", utc(2026, 3, 1, 5), utc(2026, 4, 1, 4)),
        ("Asia/Kolkata", utc(2026, 2, 28, 18, 30), utc(2026, 3, 31, 18, 30)),
        ("Pacific/Kiritimati", utc(2026, 2, 28, 10), utc(2026, 3, 31, 10)),
    ],
)
def test_a_period_is_a_month_by_the_clocks_of_the_zone(
    zone: str, start: datetime, end: datetime
) -> None:
    where = time_zone(zone)
    assert period_bounds("2026-03", where) == (start, end)
    assert period_of(start - TICK, where) == "2026-02"
    assert period_of(start, where) == "2026-03"
    assert period_of(end - TICK, where) == "2026-03"
    assert period_of(end, where) == "2026-04"


def test_a_midnight_that_the_clocks_skip_is_the_moment_of_the_skip() -> None:
    """In Amman 2016-03-31 24:00 was at once 2016-04-01 01:00."""
    amman = time_zone("Asia/Amman")
    start, _ = period_bounds("2016-04", amman)
    assert start == utc(2016, 3, 31, 22)
    assert start.astimezone(amman).hour == 1
    assert (period_of(start - TICK, amman), period_of(start, amman)) == ("2016-03", "2016-04")


def test_a_month_that_shows_again_after_it_ended_stays_ended() -> None:
    """In St. John's 2009-11-01 00:01 was at once 2009-10-31 23:01 again."""
    st_johns = time_zone("America/St_Johns")
    start, _ = period_bounds("2009-11", st_johns)
    assert start == utc(2009, 11, 1, 2, 30)
    shown_again = start + timedelta(minutes=30)
    assert shown_again.astimezone(st_johns).month == 10
    assert period_of(shown_again, st_johns) == "2009-11"
    assert period_of(start - TICK, st_johns) == "2009-10"


class SkipsOverMidnight(tzinfo):
    """A zone whose clocks went from 2026-03-31 23:30 to 2026-04-01 00:30, both UTC by then."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        shown = moment.replace(tzinfo=None)
        return timedelta(hours=shown >= datetime(2026, 4, 1, 0, 30))  # noqa: DTZ001

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "SKIP"

    def fromutc(self, moment: datetime) -> datetime:
        shown = moment.replace(tzinfo=None)
        ahead = shown >= datetime(2026, 3, 31, 23, 30)  # noqa: DTZ001
        return moment + timedelta(hours=ahead)


def test_a_skip_that_begins_before_midnight_leaves_no_moment_in_two_periods() -> None:
    """No zone has done this at the turn of a month; if one does, period and bounds agree."""
    zone = SkipsOverMidnight()
    start, _ = period_bounds("2026-04", zone)
    assert start == utc(2026, 4, 1)
    shown_early = utc(2026, 3, 31, 23, 45)
    assert shown_early.astimezone(zone).month == 4
    assert period_of(shown_early, zone) == period_of(start - TICK, zone) == "2026-03"
    assert period_of(start, zone) == "2026-04"


def test_periods_follow_each_other_without_gap_in_every_zone() -> None:
    """Each moment is in exactly one period: the promise of half-open bounds."""
    names = sorted(name for name in available_timezones() if name != "localtime")
    assert len(names) > 300
    for name in names:
        zone = ZoneInfo(name)
        for period in ("2009-11", "2016-04", "2026-03", "2026-10", "2026-12"):
            start, end = period_bounds(period, zone)
            assert timedelta(days=27) < end - start < timedelta(days=32)
            assert period_bounds(next_period(period), zone)[0] == end
            assert period_of(start - TICK, zone) == previous_period(period), name
            assert period_of(start, zone) == period_of(end - TICK, zone) == period, name
            assert period_of(start + timedelta(hours=1), zone) == period, name
            assert period_of(end - timedelta(hours=1), zone) == period, name


def test_periods_count_through_the_year_and_sort_as_text() -> None:
    assert next_period("2026-12") == "2027-01"
    assert next_period("2026-09") == "2026-10"
    assert previous_period("2027-01") == "2026-12"
    assert previous_period("2026-10") == "2026-09"
    months = ["2026-01"]
    for _ in range(30):
        months.append(next_period(months[-1]))
        assert previous_period(months[-1]) == months[-2]
    assert months == sorted(months)
    assert months[-1] == "2028-07"


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-01", "2026/01", "2026-01 ", "٢٠٢٦-01", "", None, 1]
)
def test_a_period_that_is_no_month_is_refused(text: object) -> None:
    with pytest.raises(InvalidRequest, match=r'^period: must be a month such as "2026-11"'):
        parse_period(text, "period")
    if isinstance(text, str):
        with pytest.raises(ValueError, match="expected a period"):
            period_bounds(text, UTC)


def test_a_month_is_read_as_it_stands() -> None:
    assert parse_period("2026-11", "period") == "2026-11"


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Europe/Berlin", "America/Indiana/Knox"])
def test_a_zone_of_the_database_is_accepted(name: str) -> None:
    assert parse_time_zone(name, "time_zone") == name
    assert utc(2026, 1, 1).astimezone(time_zone(name)).utcoffset() is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Europe",
        "Europe/",
        "Europe/Atlantis",
        "/etc/localtime",
        "../../etc/passwd",
        "Europe/../UTC",
        "localtime",
        "posixrules",
        "posix/Europe/Berlin",
        "right/UTC",
        "zone.tab",
        "tzdata.zi",
        "+02:00",
        "UTC\x00",
        "UTC ",
        "A" * 10_000,
        None,
        1,
        ["UTC"],
    ],
)
def test_what_is_no_zone_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^time_zone: must be an IANA time zone"):
        parse_time_zone(value, "time_zone")


def test_a_stored_name_that_is_no_zone_is_a_bug() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        time_zone("localtime")


def test_days_are_utc() -> None:
    start, end = utc(2026, 11, 23), utc(2026, 11, 24)
    assert day_bounds("2026-11-23") == (start, end)
    assert [day_of(moment) for moment in (start - TICK, start, end - TICK, end)] == [
        "2026-11-22",
        "2026-11-23",
        "2026-11-23",
        "2026-11-24",
    ]


def test_weeks_begin_on_monday_also_across_the_year() -> None:
    start, end = utc(2026, 12, 28), utc(2027, 1, 4)
    assert week_bounds("2026-12-28") == (start, end)
    assert [week_of(moment) for moment in (start - TICK, start, end - TICK, end)] == [
        "2026-12-21",
        "2026-12-28",
        "2026-12-28",
        "2027-01-04",
    ]
    with pytest.raises(ValueError, match="2026-12-29 is not a Monday"):
        week_bounds("2026-12-29")


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001 (the naive time is the point)
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_time_that_is_not_utc_is_a_bug(now: datetime) -> None:
    for ask in (day_of, week_of):
        with pytest.raises(ValueError, match="expected a time in UTC"):
            ask(now)
    with pytest.raises(ValueError, match="expected a time in UTC"):
        period_of(now, UTC)
