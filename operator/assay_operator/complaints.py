"""What the cluster complains of in Events, where the status of a pod or Job does not say why it does not start.

The API server keeps no index of Events: to list those of one object it reads all of the namespace. So one listing of a
namespace's warnings answers for all of its EvalJobs for a while, the longer the more it cost, and none is made while every pod
says for itself what it waits for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from assay_operator.api_server import EVENTS, ApiServer, Json
from assay_operator.diagnose import QUIET_SECONDS, is_silent
from assay_operator.views import JobView, PodView

_FRESH_SECONDS = 4.0
_PAUSE = 20.0
"""A listing is good for so many times as long as it took."""
_KINDS = frozenset({"Pod", "Job"})
_FIELDS = "type=Warning,reason!=FailedScheduling"
"""What the scheduler said before it found a node is no reason any more: a pod that waits for one says so itself."""


@dataclass(frozen=True, slots=True)
class _Said:
    """The last warning about each uid, and until when it is taken for the last."""

    until: float
    last: Mapping[str, str]


class Complaints:
    """The last warnings about what does not start. To be used from one event loop."""

    def __init__(self, api: ApiServer, now: Callable[[], datetime], clock: Callable[[], float]) -> None:
        """`now` gives the time that objects are dated by, `clock` seconds."""
        self._api, self._now, self._clock = api, now, clock
        self._said: dict[str, _Said] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def about(self, namespace: str, children: Sequence[tuple[JobView, tuple[PodView, ...]]]) -> Mapping[str, str]:
        """uid of a pod or Job → the last warning about it, of those whose status does not say why they do not start.

        Args:
            children: Jobs with their pods.

        Raises:
            ApiError: the API server did not answer.
        """
        now = self._now()
        silent = [pod.uid for _, pods in children for pod in pods if is_silent(pod, now)]
        empty = [job.uid for job, pods in children if not pods and _should_have_pods(job, now)]
        if not silent and not empty:
            return {}
        async with self._asking[namespace]:
            said = self._said.get(namespace)
            if said is None or said.until <= self._clock():
                said = self._said[namespace] = await self._listen(namespace)
        return {uid: said.last[uid] for uid in (*silent, *empty) if uid in said.last}

    async def _listen(self, namespace: str) -> _Said:
        began = self._clock()
        last: dict[str, tuple[str, str]] = {}
        async for page in self._api.pages(EVENTS, namespace, fields=_FIELDS):
            for event in page.items:
                about = event.get("involvedObject") or {}
                if about.get("kind") in _KINDS:
                    told = (_last_seen(event), str(event.get("message", "")))
                    last[about.get("uid", "")] = max(told, last.get(about.get("uid", ""), ("", "")))
        ended = self._clock()
        until = ended + max(_FRESH_SECONDS, _PAUSE * (ended - began))
        return _Said(until, {uid: message for uid, (_, message) in last.items()})


def _should_have_pods(job: JobView, now: datetime) -> bool:
    """Whether a Job that has made no pod has had the time to."""
    if job.finished or job.suspended or job.deleting or job.active or job.created is None:
        return False
    return (now - job.created).total_seconds() > QUIET_SECONDS


def _last_seen(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
