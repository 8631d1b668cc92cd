"""What all models of the vocabulary have in common: closed to unknown fields, immutable, with one canonical encoding.

Digests are taken over canonical JSON (sorted keys, no spaces, UTF-8, no NaN), so equal content has equal bytes on every
machine and Python version.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from assay_api.encoding import canonical, sha256
from assay_api.errors import Corrupt

__all__ = ["Record", "Spec", "canonical", "sha256"]


class Record(BaseModel):
    """A model that is written to the store: snake_case keys, frozen, closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    def encode(self) -> bytes:
        """The canonical JSON bytes of this document, with a final newline."""
        return canonical(self.model_dump(mode="json")) + b"\n"

    @classmethod
    def decode(cls, data: bytes, where: str) -> Self:
        """Read what `encode` wrote; `where` names the object in errors.

        Raises:
            Corrupt: the bytes are no JSON, or not of this model.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Corrupt(f"{where} is not a valid {cls.__name__}: {error.errors()[0]['msg']}.") from error


class Spec(BaseModel):
    """A model that a person writes in YAML or that the API server stores: camelCase keys, frozen, closed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=False, serialize_by_alias=True
    )
