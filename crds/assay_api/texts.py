"""Kinds of text in specs, each with the bounds and the form that Kubernetes or the store asks of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
"""Name of a Kubernetes object."""
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
LongUri = Annotated[str, StringConstraints(max_length=2048)]
"""An address that Assay made out of a `Uri` and names."""
StoreUri = Annotated[
    str, StringConstraints(pattern=r"^(s3://[a-z0-9][a-z0-9.-]*|file:///?)", min_length=4, max_length=1024)
]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://", max_length=1024)]
CheckpointName = Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f\x7f]+$", min_length=1, max_length=1024)]
"""Name of a folder or object directly below a watched prefix."""
Digest = Annotated[str, StringConstraints(max_length=128)]
"""A SHA-256 in hexadecimal, with or without its algorithm in front."""
Figure = Annotated[str, StringConstraints(max_length=64)]
"""A number as text, because Kubernetes objects carry no floats."""
A_KEY_IS_A_NAME = (
    "a key is a name of at most 63 letters, digits, -, _ and ., with a domain and / in front of it where it needs one; "
    "correct the key"
)
QualifiedName = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", max_length=317
    ),
    Field(description=A_KEY_IS_A_NAME),
]
"""Key of a label, an annotation or a resource; its description is the sentence for a person whose key is another."""
LabelValue = Annotated[str, StringConstraints(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", max_length=63)]
Quantity = (
    Annotated[
        str,
        StringConstraints(
            pattern=r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]+)?$", max_length=64
        ),
    ]
    | Annotated[int, Field(ge=0)]
)
"""An amount of a resource, as Kubernetes writes it: 500m, 1.5, 32Gi, 4."""
