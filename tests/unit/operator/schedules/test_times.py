"""The times of cron expressions: in zones, around changes of the clocks, and however many were missed."""

from datetime import UTC, datetime, timedelta

import pytest

from assay_operator.schedules.times import MANY, BadTimes, Times


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def some(times, moment, count):
    found = []
    for _ in range(count):
        moment = times.next(moment)
        found.append(moment.strftime("%d %H:%M"))
    return found


def test_times_are_utc_unless_a_zone_is_named():
    assert some(Times("0 6 * * *", None), at("2026-01-01"), 2) == ["01 06:00", "02 06:00"]
    assert some(Times("0 6 * * *", "Asia/Tokyo"), at("2026-01-01"), 2) == ["01 21:00", "02 21:00"]


@pytest.mark.parametrize(
    ("short", "long"), [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@weekly", "0 0 * * SUN")]
)
def test_an_abbreviation_stands_for_its_fields(short, long):
    assert some(Times(short, None), at("2026-03-03"), 3) == some(Times(long, None), at("2026-03-03"), 3)


def test_a_time_that_the_clocks_skip_comes_right_after_they_were_put_forward():
    # Berlin, 29 March 2026: 02:00 is followed by 03:00.
    times = Times("30 2 * * *", "Europe/Berlin")
    assert some(times, at("2026-03-28T00:00"), 3) == ["28 01:30", "29 01:00", "30 00:30"]


def test_a_time_that_comes_twice_counts_once():
    # Berlin, 25 October 2026: 03:00 is followed by 02:00.
    times = Times("30 2 * * *", "Europe/Berlin")
    assert some(times, at("2026-10-24T12:00"), 2) == ["25 00:30", "26 01:30"]
    for minute in range(0, 180, 7):
        moment = at("2026-10-25T00:00") + timedelta(minutes=minute)
        assert times.next(moment) > moment


def test_hours_that_pass_are_all_there_when_the_clocks_change():
    assert some(Times("0 * * * *", "Europe/Berlin"), at("2026-10-24T23:30"), 4) == [
        "25 00:00", "25 01:00", "25 02:00", "25 03:00",
    ]  # fmt: skip


def test_of_the_times_that_were_missed_the_latest_and_their_number_are_known():
    times = Times("0 * * * *", None)
    due = times.due(at("2026-01-01T00:00"), at("2026-01-01T03:30"))
    assert (due.latest, due.missed) == (at("2026-01-01T03:00"), 3)
    assert times.due(at("2026-01-01T03:00"), at("2026-01-01T03:59")).latest is None
    assert times.due(at("2026-01-01T02:59"), at("2026-01-01T03:00")).missed == 1


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("expression", ["* * * * *", "*/7 3 * * 1-5", "15 2 * * *"])
def test_after_years_away_the_latest_time_is_found_without_counting_them_all(expression, zone):
    now = at("2026-11-20T12:34:56")
    due = Times(expression, zone).due(at("2020-01-01"), now)
    assert due.missed > MANY and due.latest <= now
    assert Times(expression, zone).due(due.latest, now).latest is None


@pytest.mark.parametrize(
    ("expression", "zone", "word"),
    [
        ("0 0 30 2 *", None, "never comes"),
        ("0 0 31 4,6 *", None, "never comes"),
        ("9-3 * * * *", None, "wrong minute"),
        ("0 0 * * *", "Europe/Atlantis", "no time zone Europe/Atlantis"),
    ],
)
def test_what_cannot_be_followed_is_said_in_a_sentence(expression, zone, word):
    with pytest.raises(BadTimes, match=word):
        Times(expression, zone)
