"""Reconciles one EvalJob at a time: look, decide, act, tell. All I/O of the operator's policy goes through here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from assay_api.status import EvalJobStatus
from assay_operator.api_server import EVALJOBS, EVENTS, ApiError, ApiServer, Json
from assay_operator.apply import Applier, JobRefused
from assay_operator.decide import decide, told_of_refusal
from assay_operator.names import FINALIZER
from assay_operator.observe import Observer, Unreadable
from assay_operator.told import Telling, event, tellings
from assay_operator.watched import Key, Watched

_WRITE_EVERY = 1.0
"""Seconds between two writes of a status in which only numbers have changed."""
_LAST_LOOKS = 5.0
"""Seconds between looks at what its namespace's removal will take along."""
_NUMBERS = ("progress", "workers", "summary")

log = logging.getLogger("assay.operator")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconciliation ended."""

    name: str
    """`done`, `unchanged`, `gone`, `conflict` or `unreadable`, for metrics."""
    again_in: float | None = None


class Controller:
    """Brings EvalJobs towards what their specs ask for."""

    def __init__(
        self,
        api: ApiServer,
        watched: Watched,
        observer: Observer,
        applier: Applier,
        *,
        now: Callable[[], datetime],
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` gives the time for conditions, `clock` seconds for pauses."""
        self._api, self._watched, self._observer, self._applier = api, watched, observer, applier
        self._now, self._identity, self._clock = now, identity, clock
        self._written: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> Outcome:
        """Look at the EvalJob at `key` and do what is due.

        Raises:
            ApiError: to be tried again.
        """
        # What comes of one that is new has a fixed name and its uid; its status is written only over the version that was told.
        raw = self._watched.take_untouched(key) or await self._api.get(EVALJOBS, *key)
        if raw is None:
            return self._gone(key)
        seen = await self._observer.observe(raw)
        if isinstance(seen, Unreadable):
            return await self._tell_unreadable(raw, seen)
        decision = decide(seen, self._now().replace(microsecond=0))
        try:
            await self._applier.carry_out(seen, decision)
        except JobRefused as refused:
            if refused.namespace_ends:
                return Outcome("gone", _LAST_LOOKS)
            log.warning("%s/%s: %s", *key, refused)
            decision = told_of_refusal(decision, refused.step, refused.error.message, seen.generation, self._now())
        except ApiError as error:
            if error.status == 409:
                return Outcome("conflict", 0.05)
            raise
        if decision.status == seen.status or seen.deleting:
            return Outcome("done" if decision.actions else "unchanged", decision.requeue)
        since = self._clock() - self._written.get(key, float("-inf"))
        if since < _WRITE_EVERY and _only_numbers_differ(seen.status, decision.status):
            return Outcome("unchanged", min(decision.requeue or _WRITE_EVERY, _WRITE_EVERY - since))
        try:
            await self._applier.write_status(raw, _plain(decision.status))
        except ApiError as error:
            if error.status == 409:
                return Outcome("conflict", 0.05)
            if error.status == 404:
                return self._gone(key)
            raise
        self._written[key] = self._clock()
        for told in tellings(seen.status, decision.status):
            await self._tell(raw, told)
        return Outcome("done", decision.requeue)

    def _gone(self, key: Key) -> Outcome:
        self._watched.forget(key)
        self._written.pop(key, None)
        return Outcome("gone")

    async def _tell(self, raw: Json, told: Telling) -> None:
        try:
            await self._api.create(EVENTS, event(told, raw, self._now(), self._identity))
        except ApiError as error:
            # What is told is in the conditions too; a job must not wait for its Events.
            log.warning("no Event about %s: %s", raw["metadata"]["name"], error)

    async def _tell_unreadable(self, raw: Json, seen: Unreadable) -> Outcome:
        message, meta = str(seen.error), raw["metadata"]
        if meta.get("deletionTimestamp") and FINALIZER in (meta.get("finalizers") or []):
            # Nothing can be made for an object that cannot be read; holding it would hold it for ever.
            await self._applier.release(raw)
            await self._tell(raw, Telling(True, "RecordsKept", f"{message} Its records stay in the store."))
            return Outcome("unreadable")
        status = dict(raw.get("status") or {})
        conditions = [c for c in status.get("conditions") or [] if c.get("type") != "Accepted"]
        before: Any = next((c for c in status.get("conditions") or [] if c.get("type") == "Accepted"), {})
        if before.get("message") == message:
            return Outcome("unreadable")
        moment = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        accepted = {
            "type": "Accepted",
            "status": "False",
            "reason": "InvalidSpec",
            "message": message,
            "lastTransitionTime": moment,
        }
        status["conditions"] = [accepted, *conditions]
        status.setdefault("phase", "Pending")
        status["summary"] = {"note": message[:400]}
        await self._applier.write_status(raw, status)
        await self._tell(raw, Telling(True, "InvalidSpec", message))
        return Outcome("unreadable")


def _only_numbers_differ(before: EvalJobStatus, after: EvalJobStatus) -> bool:
    same = {name: getattr(before, name) for name in _NUMBERS}
    return after.model_copy(update=same) == before


def _plain(status: EvalJobStatus) -> Json:
    return status.model_dump(mode="json", exclude_none=True)
