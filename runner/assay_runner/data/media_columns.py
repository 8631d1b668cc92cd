"""How the media of a row are found: by a template, or by a path, an address or bytes in the data.

Paths that come from data may not lead out of the dataset's root, and addresses only where the task says: a dataset is
other people's text, and the planner can read more than the dataset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay_runner.data.archives import inside_archive
from assay_runner.data.remote import Fetch, allowed, fetched, from_data_uri, is_address, is_prefix, remote, shown
from assay_runner.data.spec import DatasetSpec
from assay_runner.data.values import Doc
from assay_runner.media import Media, MediaError, from_bytes, from_file, from_place

_CHAIN = re.compile(r"(zip|tar)://(?P<member>[^:]+)::(?P<archive>.+)")
"""A member of an archive as fsspec, and so `datasets`, names it."""
_COLUMN = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_REMEMBERED = 1 << 16


class MediaFiles:
    """Media in files and archives below one of `roots`, and at addresses below one of `addresses`; relative paths are meant
    from the first root. A file is hashed once, an address is fetched as often as it is named."""

    def __init__(self, *roots: Path, addresses: Iterable[str] = (), fetch: Fetch = fetched) -> None:
        self._roots = [_normal(root) for root in roots]
        self.addresses, self._fetch = tuple(addresses), fetch
        self._named: dict[tuple[Path | None, str], Media] = {}
        """By base and name: to find the path of a name takes longer than all else."""
        self._seen: dict[Path, Media] = {}

    def get(self, name: str, base: Path | None = None) -> Media:
        """The medium at a path or an address from the data, a path relative to `base` (default: the first root). Archives
        are like folders: `images.zip/1.png`, or `zip://1.png::images.zip`.

        Raises:
            MediaError: it is missing, of an unknown kind, or outside of the roots.
            Failed: the server of an address is away.
        """
        if name.startswith("data:"):
            return from_data_uri(name)
        if is_address(name):
            return self._at(name)
        if known := self._named.get((base, name)):
            return known
        if chain := _CHAIN.fullmatch(name):
            return self.get(f"{chain['archive']}/{chain['member']}", base)
        path = _normal((base or self._roots[0]) / name)
        if "\0" in name or not any(path.is_relative_to(root) for root in self._roots):
            raise MediaError(f"{name!r} leads out of the dataset's folder")
        if len(self._named) == _REMEMBERED:
            self._named.clear()
            self._seen.clear()
        medium = self._seen.get(path)
        if medium is None:
            member = inside_archive(path)
            medium = self._seen[path] = from_place(member) if member else from_file(path)
        self._named[base, name] = medium
        return medium

    def _at(self, address: str) -> Media:
        if not allowed(address, self.addresses):
            known = f"those below {', '.join(self.addresses)}" if self.addresses else "none"
            raise MediaError(f"{shown(address)} is no address that the task allows in its data (media_from: {known})")
        return remote(address, self._fetch)

    def open(self, value: Any, column: str) -> Media | None:
        """The medium that a value stands for: bytes, a path, or the hub's {bytes, path} pair; None for nothing.

        Raises:
            MediaError: the value is none of these, or there is no medium.
        """
        match value:
            case None | "" | {"bytes": None, "path": None}:
                return None
            case Media():
                return value
            case bytes() as data:
                return from_bytes(data, name=f"the content of {column}")
            case {"bytes": bytes() as data}:
                return from_bytes(data, name=str(value.get("path") or f"the content of {column}"))
            case str() as name:
                return self.get(name)
            case {"path": str() as name}:
                return self.get(name)
        raise MediaError(f"{column} is neither a path nor encoded bytes")


class MediaTemplates:
    """The task's `media`: columns whose values are media, by templates over the other columns.

    A template that is one bare column, as "{{ image }}", takes that column's paths or bytes, also a list of them.
    Any other renders to a path; what renders to nothing is None. A template may itself begin with `../`; what the
    data add may not.
    """

    def __init__(self, spec: DatasetSpec, root: Path) -> None:
        """
        Raises:
            SpecError: a template cannot be parsed.
        """
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        self._root, self._files = root, MediaFiles(root, addresses=spec.media_from)
        for prefix in spec.media_from:
            if not is_prefix(prefix):
                problem = f"{prefix} is not what an address can be held to"
                raise spec.error(
                    "media_from", problem, "write a scheme (https, http, s3), a whole host, and a path or /"
                )
        self.waits = bool(spec.media_from)
        """Whether rows may have to be waited for, since their media are fetched."""
        self._columns: dict[str, str] = {}
        self._paths: dict[str, tuple[Any, MediaFiles]] = {}
        for column, text in spec.media.items():
            if bare := _COLUMN.fullmatch(text.strip()):
                self._columns[column] = bare[1]
                continue
            try:
                template = environment.from_string(text)
            except TemplateError as error:
                raise spec.error(f"media.{column}", f"the template cannot be read ({error})", "correct it") from error
            self._paths[column] = (template, self._confined(text, root, spec, column))
            self.waits = self.waits or is_address(text)

    def apply(self, row: Doc) -> Doc:
        """The row with its media columns.

        Raises:
            MediaError: a column that a template needs or the file it names is missing.
        """
        found = {column: self._bare(row, column, source) for column, source in self._columns.items()}
        found |= {column: self._rendered(row, column, *paths) for column, paths in self._paths.items()}
        return row | found

    def _bare(self, row: Mapping[str, Any], column: str, source: str) -> Media | list[Media | None] | None:
        if source not in row:
            raise MediaError(f"media.{column} needs a column {source}, and there is none")
        value = row[source]
        if isinstance(value, list):
            return [self._files.open(one, source) for one in value]
        return self._files.open(value, source)

    def _rendered(self, row: Mapping[str, Any], column: str, template: Any, files: MediaFiles) -> Media | None:
        from jinja2 import TemplateError

        try:
            name: str = template.render(row)
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise MediaError(f"media.{column} cannot be rendered: {error}") from error
        return files.get(name, self._root) if name else None

    @staticmethod
    def _confined(text: str, root: Path, spec: DatasetSpec, column: str) -> MediaFiles:
        literal = text.partition("{")[0]
        if is_address(text):
            below = literal.rpartition("/")[0] + "/"
            if not is_prefix(below):
                raise spec.error(f"media.{column}", f"{text} leaves the host to the data", "write it out, up to a /")
            return MediaFiles(root, addresses=[below])
        above = ".." in Path(literal).parts or Path(literal).is_absolute()
        return MediaFiles(root / literal.rpartition("/")[0]) if above else MediaFiles(root)


def media_tree(feature: Any) -> Any:
    """Where media lie in a feature of the hub's metadata: True for a medium, [tree] for a list, {key: tree}, None
    for none.
    """
    match feature:
        case {"_type": "Image" | "Audio" | "Video"}:
            return True
        case {"_type": "Sequence", "feature": dict() as fields} if "_type" not in fields:
            return _fields({key: [inner] for key, inner in fields.items()})
        case {"_type": "Sequence" | "List" | "LargeList", "feature": inner} | [inner]:
            tree = media_tree(inner)
            return [tree] if tree else None
        case {"_type": str()}:
            return None
        case dict():
            return _fields(feature)
    return None


def with_media(value: Any, tree: Any, files: MediaFiles, column: str) -> Any:
    """`value` with the encoded media at the places of `tree` as `Media`.

    Raises:
        MediaError: a medium is missing or of an unknown kind.
    """
    if value is None or tree is None:
        return value
    if tree is True:
        return files.open(value, column)
    if isinstance(tree, list):
        return [with_media(inner, tree[0], files, column) for inner in value]
    return {key: with_media(inner, tree.get(key), files, key) for key, inner in value.items()}


def _fields(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    trees = {key: tree for key, inner in fields.items() if (tree := media_tree(inner))}
    return trees or None


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))
