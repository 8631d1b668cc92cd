"""Leader election by a Lease: of several operators one acts, the others watch and wait.

The Lease only spares work. Two operators that both believe to lead do no harm: names are fixed, writes are applied, and a
status is written only over the version that it was decided from. The election is the client library's; its Lease is kept
here over plain JSON, so that an API server which is away fails a try instead of ending the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from assay_operator.api_server import LEASES, ApiError, ApiServer, Json

DURATION, DEADLINE, RETRY = 15, 10, 2
"""Seconds: after which others may take over, in which a leader must have renewed, and between two tries."""

log = logging.getLogger("assay.operator")


class LeaseLost(Exception):
    """This process led and could not renew its Lease; another may lead now."""


class Leadership:
    """The Lease of this operator and whether this process holds it."""

    def __init__(self, api: ApiServer, namespace: str, name: str, identity: str, now: Callable[[], datetime]) -> None:
        self._lock = LeaseLock(api, namespace, name, identity, now)
        self.leading = asyncio.Event()

    async def hold(self) -> None:
        """Wait for the Lease, then keep it for as long as possible.

        Raises:
            LeaseLost: it could not be renewed in time.
        """

        async def started() -> None:
            log.info("%s leads", self._lock.identity)
            self.leading.set()

        async def stopped() -> None:
            self.leading.clear()

        await LeaderElection(Config(self._lock, DURATION, DEADLINE, RETRY, started, stopped)).run()
        raise LeaseLost(f"{self._lock.identity} could not renew its Lease in {DEADLINE} s")

    async def release(self) -> None:
        """Let the next one lead at once."""
        if self.leading.is_set():
            self.leading.clear()
            await self._lock.release()


class LeaseLock(BaseLock):  # type: ignore[misc]
    """A `coordination.k8s.io/v1` Lease as the election uses it. Every call is bounded in time and never raises."""

    def __init__(self, api: ApiServer, namespace: str, name: str, identity: str, now: Callable[[], datetime]) -> None:
        super().__init__(name, namespace, identity)
        self._api, self._now = api, now
        self._lease: Json | None = None

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """The record; or False and why there is none, as the election expects it."""
        try:
            async with asyncio.timeout(RETRY):
                lease = await self._api.get(LEASES, namespace, name)
        except (ApiError, TimeoutError) as error:
            return False, ApiException(status=0, reason=str(error) or "no answer in time")
        if lease is None:
            missing = ApiException(status=404, reason="Not Found")
            missing.body = json.dumps({"code": 404})
            return False, missing
        self._lease, spec = lease, lease.get("spec") or {}
        seconds = spec.get("leaseDurationSeconds")
        return True, LeaderElectionRecord(
            spec.get("holderIdentity") or None,
            None if seconds is None else str(seconds),
            spec.get("acquireTime"),
            spec.get("renewTime"),
        )

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Make the Lease; False when somebody else was faster."""
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": self._spec(election_record.holder_identity, acquired=True),
        }
        return await self._write(self._api.create, lease)

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Renew or take over the Lease as it was last read; False when it has changed since."""
        if self._lease is None:
            return False
        before = self._lease.get("spec") or {}
        holder = updated_record.holder_identity
        taken = before.get("holderIdentity") != holder
        spec = {**before, **self._spec(holder, acquired=taken)}
        if taken:
            spec["leaseTransitions"] = before.get("leaseTransitions", 0) + 1
        return await self._write(self._api.replace, {**self._lease, "spec": spec})

    async def release(self) -> None:
        """Name no holder, so that nobody has to wait for the Lease to run out."""
        if self._lease is not None:
            spec = {**(self._lease.get("spec") or {}), "holderIdentity": ""}
            await self._write(self._api.replace, {**self._lease, "spec": spec})

    def _spec(self, holder: str | None, *, acquired: bool) -> Json:
        moment = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: Json = {"holderIdentity": holder, "leaseDurationSeconds": DURATION, "renewTime": moment}
        return spec | ({"acquireTime": moment} if acquired else {})

    async def _write(self, call: Callable[[Any, Json], Any], lease: Json) -> bool:
        try:
            async with asyncio.timeout(RETRY):
                self._lease = await call(LEASES, lease)
        except (ApiError, TimeoutError) as error:
            log.info("the Lease was not written: %s", str(error) or "no answer in time")
            return False
        return True
