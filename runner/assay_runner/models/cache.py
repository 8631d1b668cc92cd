"""Where models are kept once they were brought here; several processes and, on a shared volume, machines may share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelCache:
    """A folder for models."""

    folder: Path
    hub: bool = False
    """Whether models of the hub are kept below it as well, whole, so that they are read without the hub."""

    @property
    def hub_folder(self) -> Path:
        """What HF_HUB_CACHE is set to when models of the hub are kept here."""
        return self.folder / "huggingface" / "hub"
