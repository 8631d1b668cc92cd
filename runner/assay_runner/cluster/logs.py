"""The logs of a job's pods as one stream of lines, each marked with the pod it comes from.

Followed logs are read by a thread per pod; only the caller's thread prints. A stream that breaks, or that ends while its
container still runs, is taken up again at the last line that was seen.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from assay_api.errors import Failed
from assay_runner.cluster.answers import ApiRefused, ApiUnavailable
from assay_runner.cluster.client import Cluster
from assay_runner.cluster.pods import Pod

_STREAMS = 200
"""Pods followed at the same time."""


def read(cluster: Cluster, namespace: str, pods: list[Pod]) -> Iterator[str]:
    """What the pods have said, one after the other; why a pod has said nothing stands in its place."""
    for pod in pods:
        if pod.waits:
            yield f"{pod.label} | (no log: {pod.waits})"
            continue
        try:
            for line in cluster.log(namespace, pod.name, follow=False, container=pod.container):
                yield f"{pod.label} | {line.partition(' ')[2]}"
        except (ApiRefused, ApiUnavailable) as error:
            yield f"{pod.label} | (no log: {error})"


@dataclass(slots=True)
class _Stream:
    """How far the log of one pod was read."""

    last: str = ""
    """Time of the last line."""
    thread: threading.Thread | None = None
    complete: bool = False

    @property
    def busy(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


class Follower:
    """Follows the logs of pods that come and go."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._streams: dict[str, _Stream] = {}
        self._said: set[tuple[str, str]] = set()
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def look(self, pods: list[Pod]) -> None:
        """Take up the logs of pods that are not being read."""
        busy = sum(stream.busy for stream in self._streams.values())
        for pod in pods:
            stream = self._streams.setdefault(pod.name, _Stream())
            if pod.waits:
                self._say_once(pod, pod.waits)
            elif not stream.complete and not stream.busy and busy < _STREAMS:
                busy += 1
                stream.thread = threading.Thread(target=self._read, args=(pod, stream), daemon=True)
                stream.thread.start()

    def lines(self) -> Iterator[str]:
        """What has come in since the last call."""
        while True:
            try:
                yield self._lines.get_nowait()
            except queue.Empty:
                return

    def done(self, pods: list[Pod]) -> bool:
        """Whether there is nothing more to come from these pods and those before them."""
        left = any(not self._streams[pod.name].complete for pod in pods if pod.started and pod.name in self._streams)
        return not left and not any(stream.busy for stream in self._streams.values()) and self._lines.empty()

    def _say_once(self, pod: Pod, text: str) -> None:
        if (pod.name, text) not in self._said:
            self._said.add((pod.name, text))
            self._lines.put(f"{pod.label} | (no log yet: {text})")

    def _read(self, pod: Pod, stream: _Stream) -> None:
        try:
            since = stream.last or None
            for line in self._cluster.log(self._namespace, pod.name, follow=True, since=since, container=pod.container):
                stamp, _, text = line.partition(" ")
                if _order(stamp) > _order(stream.last):
                    stream.last = stamp
                    self._lines.put(f"{pod.label} | {text}")
            # The end of a stream is the end of the log only when the container had ended before.
            stream.complete = pod.ended
        except ApiUnavailable:
            return
        except Failed as error:
            stream.complete = True
            self._lines.put(f"{pod.label} | (no more log: {error})")


def _order(stamp: str) -> tuple[str, str]:
    """Compares times of one pod, whose fractions may be written with or without their last zeros."""
    whole, _, fraction = stamp.partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    return whole.rstrip("Z"), digits.ljust(9, "0")
