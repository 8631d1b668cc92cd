"""What the watches have shown: small views of runtimes, Jobs and pods, and whether the watches still tell everything.

The views are hints that say when to look and what pods are up to; whatever is made or removed is decided from live reads.
A watch that has gone deaf shows nothing, so a periodic listing is compared with what it has told. Of an EvalJob that has ended
only those children are kept that have not, so that thousands of finished ones cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from assay_api.runtime import ClusterEvalRuntime
from assay_operator.evaljob_view import EvalJobView, evaljob_view
from assay_operator.names import JOB_UID, STEP, Step
from assay_operator.views import JobView, PodView, job_view, pod_view

Key = tuple[str, str]
"""Namespace and name of an EvalJob."""
_POD_ENDED = frozenset({"Succeeded", "Failed"})
_STARTS = frozenset({None, "ContainerCreating", "PodInitializing"})
"""What a container that starts waits for."""
_PAST: Mapping[str, frozenset[str]] = {
    "Running": frozenset({Step.PLAN}),
    "Reducing": frozenset({Step.PLAN, Step.WORK}),
}
"""Steps that are over in each phase."""
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """That a child of an EvalJob has changed in what matters."""

    key: Key
    decides: bool
    """Whether the next step depends on it; what only explains how things stand can wait for more of the same."""


class Watched:
    """The cluster as the watches tell it. Used from one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._runtimes: dict[str, ClusterEvalRuntime | None] = {}
        self._evaljobs: dict[str, Key] = {}
        self._uids: dict[Key, set[str]] = {}
        self._asked: dict[str, tuple[Any, ...]] = {}
        """What of an EvalJob is not the operator's own writing."""
        self._uses: dict[Key, str] = {}
        self._untouched: dict[Key, dict[str, Any]] = {}
        """EvalJobs without a status, as last told."""
        self.seen: dict[Key, EvalJobView] = {}
        """Every EvalJob, for metrics."""
        self._going: set[str] = set()
        """uids of EvalJobs that have not ended."""
        self._jobs: dict[str, dict[Step, JobView]] = {}
        self._pods: dict[str, dict[str, PodView]] = {}
        self._told: dict[str, str] = {}
        self._behind: dict[str, float] = {}

    def evaljob(self, raw: Raw, *, gone: bool) -> Key | None:
        """Take in an EvalJob's event and return its key; None when nothing but its status, which is the operator's own
        writing, has changed."""
        meta = raw.get("metadata") or {}
        key, uid = (meta.get("namespace", ""), meta.get("name", "")), meta.get("uid", "")
        self._note(uid, meta, gone=gone)
        self._untouched.pop(key, None)
        if gone:
            self._evaljobs.pop(uid, None)
            self._uids.get(key, set()).discard(uid)
            self._asked.pop(uid, None)
            self._going.discard(uid)
            self._uses.pop(key, None)
            self.seen.pop(key, None)
        else:
            asked = (meta.get("generation"), meta.get("deletionTimestamp"), tuple(meta.get("finalizers") or ()))
            news = self._asked.get(uid) != asked
            self._asked[uid] = asked
            self._evaljobs[uid] = key
            self._uids.setdefault(key, set()).add(uid)
            self._uses[key] = ((raw.get("spec") or {}).get("runtimeRef") or {}).get("name", "default")
            view = self.seen[key] = evaljob_view(raw)
            self._going.discard(uid) if view.has_ended else self._going.add(uid)
            self._drop_what_is_over(uid)
            if not raw.get("status"):
                self._untouched[key] = dict(raw)
            if not news:
                return None
        return key

    def take_untouched(self, key: Key) -> dict[str, Any] | None:
        """The EvalJob as the watch has told of it, once, while it has no status: it need not be read."""
        return self._untouched.pop(key, None)

    def runtime(self, raw: Raw, *, gone: bool) -> list[Key]:
        """Take in a runtime's event and return the keys of the EvalJobs that name it."""
        meta = raw.get("metadata") or {}
        name = meta.get("name", "")
        if gone:
            self._runtimes.pop(name, None)
        else:
            try:
                self._runtimes[name] = ClusterEvalRuntime.model_validate(
                    {field: raw.get(field) for field in ("apiVersion", "kind", "metadata", "spec")}
                )
            except ValidationError:
                # An object of a newer definition than this operator's: as good as none.
                self._runtimes[name] = None
        return [key for key, used in self._uses.items() if used == name]

    def job(self, raw: Raw, *, gone: bool) -> News | None:
        """Take in a Job's event; None when its EvalJob is not known, or it says nothing new."""
        meta = raw.get("metadata") or {}
        labels = meta.get("labels") or {}
        uid, step = labels.get(JOB_UID, ""), labels.get(STEP, "")
        if step not in set(Step):
            return None
        views = self._jobs.setdefault(uid, {})
        before, after = views.pop(Step(step), None), None if gone else job_view(raw)
        if after is not None:
            views[Step(step)] = after
        if not views:
            self._jobs.pop(uid, None)
        self._drop_what_is_over(uid)
        ends = after is None or after.deleting or (after.finished and not (before and before.finished))
        # A plan is in its pod's last word, which comes first.
        planned = step == Step.PLAN and after is not None and after.complete
        over = after is None or after.finished
        news = after != before if step == Step.WORK else _job_tells(after) != _job_tells(before)
        return self._news(uid, Step(step), decides=ends and not planned, over=over) if news else None

    def pod(self, raw: Raw, *, gone: bool) -> News | None:
        """Take in a pod's event; None when its EvalJob is not known, or it says nothing new."""
        view = pod_view(raw)
        pods = self._pods.setdefault(view.job_uid, {})
        before, after = pods.pop(view.uid, None), None if gone else view
        if after is not None:
            pods[view.uid] = after
        if not pods:
            self._pods.pop(view.job_uid, None)
        self._drop_what_is_over(view.job_uid)
        over = after is None or after.phase in _POD_ENDED
        # How the others' pods end, their Jobs say.
        planned = over and view.step == Step.PLAN
        news = after != before if view.step == Step.WORK else _pod_tells(after) != _pod_tells(before)
        return self._news(view.job_uid, view.step, decides=planned, over=over) if news else None

    def _news(self, uid: str, step: str, *, decides: bool, over: bool) -> News | None:
        key = self._evaljobs.get(uid)
        if key is None:
            return None
        if self._asked[uid][1] is None:
            # Nothing comes of what ends after its EvalJob has, unless that waits to be removed.
            if over and self._has_ended(uid):
                return None
            if not decides and step in _PAST.get(self.seen[key].phase, ()):
                return None
        return News(key, decides)

    def runtime_named(self, name: str) -> ClusterEvalRuntime | None:
        """The runtime, or None when there is none that can be used."""
        return self._runtimes.get(name)

    def jobs_of(self, uid: str) -> dict[Step, JobView]:
        """The Jobs of an EvalJob, as last told."""
        return dict(self._jobs.get(uid, {}))

    def pods_of(self, uid: str) -> tuple[PodView, ...]:
        """The pods of an EvalJob, oldest first."""
        return in_order(self._pods.get(uid, {}).values())

    def unfinished(self) -> list[Key]:
        """The EvalJobs with something left to do: they, or a Job of theirs, have not ended, or they are being removed."""
        return [
            key
            for uid, key in self._evaljobs.items()
            if not self._has_ended(uid) or self._asked[uid][1] is not None or uid in self._jobs
        ]

    @property
    def going(self) -> int:
        """How many EvalJobs have not ended."""
        return len(self._going)

    @property
    def has_children(self) -> bool:
        """Whether any Job or pod is kept."""
        return bool(self._jobs or self._pods)

    def forget(self, key: Key) -> None:
        """The EvalJob is gone, whether or not a watch told of it."""
        for uid in self._uids.pop(key, set()):
            self._evaljobs.pop(uid, None)
            self._asked.pop(uid, None)
            self._going.discard(uid)
            self._told.pop(uid, None)
            self._behind.pop(uid, None)
            self._jobs.pop(uid, None)
            self._pods.pop(uid, None)
        self._uses.pop(key, None)
        self._untouched.pop(key, None)
        self.seen.pop(key, None)

    def listed(self, evaljobs: Iterable[Raw], version: str) -> list[Key]:
        """Compare a fresh listing with what the watch has told; return the keys of which it has told too little.

        Args:
            version: the listing's own resource version.
        """
        now, seen, owed = self._clock(), set(), []
        for raw in evaljobs:
            meta = raw.get("metadata") or {}
            uid = meta.get("uid", "")
            seen.add(uid)
            if _order(self._told.get(uid, "")) < _order(meta.get("resourceVersion", "")):
                self._behind.setdefault(uid, now)
                owed.append((meta.get("namespace", ""), meta.get("name", "")))
            else:
                self._behind.pop(uid, None)
        for uid, told in self._told.items():
            if uid not in seen and _order(told) <= _order(version):
                self._behind.setdefault(uid, now)
                owed.append(self._evaljobs[uid])
        return owed

    def sweep(self, alive: Set[str], before: datetime) -> None:
        """Drop views of Jobs and pods whose uids a fresh listing no longer has and that are older than `before`."""

        def is_gone(view: JobView | PodView) -> bool:
            return view.uid not in alive and view.created is not None and view.created < before

        for uid, views in list(self._jobs.items()):
            self._jobs[uid] = {step: view for step, view in views.items() if not is_gone(view)}
        for uid, seen in list(self._pods.items()):
            self._pods[uid] = {name: view for name, view in seen.items() if not is_gone(view)}
        self._jobs = {uid: views for uid, views in self._jobs.items() if views}
        self._pods = {uid: seen for uid, seen in self._pods.items() if seen}

    @property
    def age(self) -> float:
        """For how long, in seconds, the watch has owed the oldest change that a listing has shown."""
        return self._clock() - min(self._behind.values(), default=self._clock())

    def _has_ended(self, uid: str) -> bool:
        seen = self.seen.get(self._evaljobs.get(uid, ("", "")))
        return seen is not None and seen.has_ended

    def _drop_what_is_over(self, uid: str) -> None:
        if not self._has_ended(uid):
            return
        jobs = {step: view for step, view in self._jobs.pop(uid, {}).items() if not view.finished}
        pods = {name: view for name, view in self._pods.pop(uid, {}).items() if view.phase not in _POD_ENDED}
        if jobs:
            self._jobs[uid] = jobs
        if pods:
            self._pods[uid] = pods

    def _note(self, uid: str, meta: Raw, *, gone: bool) -> None:
        self._behind.pop(uid, None)
        if gone:
            self._told.pop(uid, None)
        else:
            self._told[uid] = meta.get("resourceVersion", "")


def _job_tells(job: JobView | None) -> JobView | None:
    """Of the Job of a single pod what is to be told: not how many pods it counts."""
    return replace(job, active=0, succeeded=0) if job else None


def _pod_tells(pod: PodView | None) -> tuple[object, ...]:
    """Of a single pod what is to be told: how it ended, or what hinders it, and not that it starts and runs."""
    if pod is None:
        return ()
    waits = () if pod.waiting in _STARTS else (pod.waiting, pod.waiting_message)
    if pod.phase in _POD_ENDED:
        return (pod.phase, pod.exit_code, pod.message)
    found = (waits, pod.unschedulable, pod.stranded, pod.unreachable, pod.deleting, pod.disrupted)
    return found if any(found) else ()


def in_order(pods: Iterable[PodView]) -> tuple[PodView, ...]:
    """Pods, oldest first."""
    return tuple(sorted(pods, key=lambda pod: (pod.created.timestamp() if pod.created else 0.0, pod.name)))


def _order(version: str) -> int:
    """Resource versions of one kind of object grow; one that is no number is older than all."""
    return int(version) if version.isdecimal() else -1
