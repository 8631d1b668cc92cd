"""The times of a cron expression in a time zone, as instants that only ever go forward.

Where clocks are put forward, a time that does not exist comes as soon as they have been; where they are put back, a time
that comes twice counts once. Expressions with `*` in their minutes or hours go by the hours that pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from assay_api.cron import MACROS

MANY = 100
"""Missed times beyond which they are not counted but told of, as CronJob does."""


class BadTimes(ValueError):
    """The expression or the time zone cannot be used; the text says why and what would."""


@dataclass(frozen=True, slots=True)
class Due:
    """Times that have come."""

    latest: datetime | None = None
    missed: int = 0
    """How many there are, `latest` included; more than `MANY` is many."""


class Times:
    """The times of one schedule."""

    def __init__(self, expression: str, zone: str | None) -> None:
        """Read an expression of five fields, or an abbreviation.

        Raises:
            BadTimes: it cannot be read, or never comes.
        """
        try:
            self._zone = ZoneInfo(zone) if zone else UTC
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadTimes(
                f"spec.cron.timeZone: there is no time zone {zone}; use a name such as Europe/Berlin or Etc/UTC."
            ) from error
        self._fields = MACROS.get(expression, expression)
        try:
            CronSim(self._fields, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            what = str(error).removeprefix("Bad ")
            raise BadTimes(
                f"spec.cron.schedule: {expression!r} has a wrong {what}, or one that never comes; write minute, hour, day of "
                "month, month and day of week, such as 0 6 * * 1-5."
            ) from error

    def next(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None when there is none for 50 years."""
        return next(self._after(moment), None)

    def due(self, since: datetime, now: datetime) -> Due:
        """The times after `since` that have come by `now`."""
        latest, missed = None, 0
        for moment in self._after(since):
            if moment > now:
                break
            latest, missed = moment, missed + 1
            if missed > MANY:
                latest = max(moment, self._last(now) or moment)
                break
        return Due(latest, missed)

    def _after(self, moment: datetime) -> Iterator[datetime]:
        last = moment.astimezone(UTC)
        # Around a change of the clocks the library's times may repeat or step back: what is not later is left out.
        for time in CronSim(self._fields, moment.astimezone(self._zone)):
            if (found := time.astimezone(UTC)) > last:
                yield (last := found)

    def _last(self, now: datetime) -> datetime | None:
        ahead = (now + timedelta(seconds=1)).astimezone(self._zone)
        found = (time.astimezone(UTC) for time in CronSim(self._fields, ahead, reverse=True))
        return next((time for time in found if time <= now), None)
