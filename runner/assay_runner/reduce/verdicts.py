"""`gates.json` of a run: read by whoever shows verdicts, and written once."""

from __future__ import annotations

from assay_api import layout
from assay_api.errors import Failed
from assay_api.verdicts import Gates
from assay_runner.store.base import NotFoundInStore, Store


def stored_gates(store: Store) -> Gates | None:
    """The verdicts of the run whose part of the store is `store`; None when none were given.

    Raises:
        Corrupt: gates.json is not of its form.
    """
    try:
        return Gates.decode(store.get(layout.GATES), store.location(layout.GATES))
    except NotFoundInStore:
        return None


def keep(store: Store, gates: Gates) -> None:
    """Write gates.json, once: a verdict that was told does not change.

    Raises:
        Failed: another reducer has just given other verdicts; the next one finds them.
    """
    if not store.put_if_absent(layout.GATES, gates.encode()) and stored_gates(store) != gates:
        raise Failed("Another reducer has judged the gates at the same time; reduce the run again.")
