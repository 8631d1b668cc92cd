"""A store without I/O for tests of the commit protocol: it carries out the protocol's own operations, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from assay_runner.store.base import NotFoundInStore
from assay_runner.work.commit import Answer, Get, Operation, Put, PutIfAbsent


@dataclass
class SimulatedStore:
    """Objects in memory; `apply` gives the answer that a store without faults would give."""

    uri: str = "memory:"
    objects: dict[str, bytes] = field(default_factory=dict)

    def apply(self, operation: Operation) -> Answer:
        match operation:
            case Put(key, data):
                self.objects[key] = data
                return None
            case PutIfAbsent(key, data):
                if key in self.objects:
                    return False
                self.objects[key] = data
                return True
            case Get(key):
                return self.objects.get(key)

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFoundInStore(key)
        return self.objects[key]

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def location(self, key: str) -> str:
        return key
