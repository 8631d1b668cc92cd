from __future__ import annotations

import pytest

from support.documents import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()
