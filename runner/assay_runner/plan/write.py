"""Puts a plan into the store: probe, placement, then `plan.json`, once."""

from __future__ import annotations

from assay_api import layout
from assay_api.errors import Corrupt, SpecError
from assay_api.plan import Plan
from assay_api.records import Placement, StorageProbe
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.store.fallback import CheckedStore
from assay_runner.store.probe import probe


def write_run(store: Store, plan: Plan, placement: Placement) -> StorageProbe:
    """Make `store` (the run's part) the home of `plan`; harmless when it already is.

    Raises:
        Corrupt: another plan lies there.
        StoreDenied, StoreUnavailable: the store cannot be written.
    """
    probed = probed_once(store)
    store.put(layout.PLACEMENT, placement.encode())
    data = plan.encode()
    if not as_probed(store, probed).put_if_absent(layout.PLAN, data) and store.get(layout.PLAN) != data:
        raise Corrupt(f"{store.location(layout.PLAN)} is another plan; give the job another name or another storage.")
    return probed


def probed_once(store: Store) -> StorageProbe:
    """How `store` behaved when it was first probed, which is now unless that is written there.

    Raises:
        StoreDenied, StoreUnavailable: the store cannot be read or written.
    """
    try:
        return StorageProbe.decode(store.get(layout.STORAGE), store.location(layout.STORAGE))
    except NotFoundInStore:
        probed = probe(store)
        store.put(layout.STORAGE, probed.encode())
        return probed


def committing_store(store: Store) -> tuple[Store, StorageProbe]:
    """`store` as this run commits to it: itself where conditional writes hold, else the fallback.

    Raises:
        SpecError: the run was never planned.
    """
    try:
        probed = StorageProbe.decode(store.get(layout.STORAGE), store.location(layout.STORAGE))
    except NotFoundInStore as error:
        raise SpecError(
            store.uri, "", "no run was planned here", "give the address that `assay plan` printed"
        ) from error
    return as_probed(store, probed), probed


def as_probed(store: Store, probed: StorageProbe) -> Store:
    """`store` with creations that are as exclusive as it can make them."""
    return store if probed.mode == "conditional" else CheckedStore(store)
