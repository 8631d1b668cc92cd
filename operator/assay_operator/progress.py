"""How far a run is, asked of one of its workers: each worker knows the whole run's committed chunks from their markers.

Advisory: a worker that does not answer costs a moment and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from assay_api import exposition
from assay_api.status import ErrorClass, ProgressStatus
from assay_operator.views import PodView

_SECONDS = 2.0
_LARGEST = 1 << 20


class Scraper:
    """Asks workers for the progress of their run."""

    def __init__(self, session: aiohttp.ClientSession, random: Random) -> None:
        self._session, self._random = session, random

    async def scrape(self, pods: Sequence[PodView]) -> ProgressStatus | None:
        """What one of the running work pods says; None when none of the two that were asked answers."""
        candidates = [pod for pod in pods if pod.step == "work" and pod.phase == "Running" and pod.ip]
        for pod in self._random.sample(candidates, min(2, len(candidates))):
            text = await self._read(pod.ip or "")
            if text is not None and (found := parse(text)) is not None:
                return found
        return None

    async def _read(self, ip: str) -> str | None:
        host = f"[{ip}]" if ":" in ip else ip
        try:
            async with self._session.get(
                f"http://{host}:{exposition.PORT}/metrics",
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    return None
                data = bytearray()
                async for part in response.content.iter_any():
                    data += part
                    if len(data) > _LARGEST:
                        return None
                return data.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


def parse(text: str) -> ProgressStatus | None:
    """The progress in a worker's metrics; None when it says nothing of it."""
    values: dict[str, float] = {}
    classes: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.labels:
                    values[sample.name] = sample.value
                elif sample.name == exposition.ERRORS_BY_CLASS:
                    classes[sample.labels.get(exposition.CLASS, "")] = sample.value
    except (ValueError, IndexError, KeyError, TypeError):
        # The parser's ways to say that this is no exposition.
        return None
    if exposition.SAMPLES_COMMITTED not in values or exposition.SAMPLES not in values:
        return None

    def count(name: str) -> int:
        return _count(values.get(name, 0.0))

    rate = values.get(exposition.SAMPLES_PER_SECOND, 0.0)
    return ProgressStatus(
        samplesDone=count(exposition.SAMPLES_COMMITTED),
        samplesTotal=count(exposition.SAMPLES),
        errors=count(exposition.ERRORS),
        errorClasses=_classes(classes),
        retries=count(exposition.RETRIES),
        chunksCommitted=count(exposition.CHUNKS_COMMITTED),
        tokensIn=count(exposition.TOKENS_IN),
        tokensOut=count(exposition.TOKENS_OUT),
        acceleratorSeconds=count(exposition.ACCELERATOR_SECONDS),
        samplesPerSecond=round(rate, 2) if 0 < rate < 1e9 else None,
    )


def _count(value: float) -> int:
    return int(value) if 0 <= value < 1e15 else 0


def _classes(found: Mapping[str, float]) -> list[ErrorClass]:
    """The classes in a fixed order; a name that nothing of ours gives is passed over."""
    names = sorted(name for name in found if 0 < len(name) <= exposition.LONGEST_CLASS)
    return [ErrorClass(name=name, count=_count(found[name])) for name in names[: exposition.MOST_CLASSES]]
