"""The images under test as archives that a cluster's nodes can load, made anew only when their content changed.

An image's tag is a digest of what it is made of, so a node cannot run an older one by mistake. Nothing but Python's own
library is needed, so that CI makes them (`python3 image_archives.py TOOL`) while it installs the rest.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(tempfile.gettempdir()) / f"assay-images-{os.geteuid()}"
NAMES = ("operator", "runner")
_COMMON = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "images/requirements.py",
    "images/constraints.txt",
    "crds/assay_api",
)
_OWN = {"operator": ("operator/assay_operator",), "runner": ("runner/assay_runner", "examples/tiny-vlm/model")}


def tag(name: str) -> str:
    """The reference of the image of this content."""
    return f"localhost/assay-{name}:{_content(name)}"


def archived(name: str, tool: Path) -> Path:
    """The archive of the image, built and exported with `tool` unless it is there. To be called by one at a time (`alone`).

    Raises:
        RuntimeError: the image could not be made; with what the tool said.
    """
    wanted = tag(name)
    archive = CACHE / f"{wanted.rpartition('/')[2].replace(':', '-')}.tar"
    if not archive.exists():
        for old in CACHE.glob(f"assay-{name}-*.tar*"):
            old.unlink()
        partial = archive.with_suffix(".tar.partial")
        _run(tool, "build", wanted, dockerfile(name), ROOT, timeout=1500)
        _run(tool, "export", wanted, partial, timeout=300)
        partial.rename(archive)
    return archive


def dockerfile(name: str) -> Path:
    """What the image is built by, with the repository's root as its context."""
    return ROOT / "images" / f"{name}.Dockerfile"


@contextmanager
def alone() -> Iterator[None]:
    """Two processes do not build at once."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _content(name: str) -> str:
    digest = hashlib.sha256()
    for part in (*_COMMON, *_OWN[name], f"images/{name}.Dockerfile"):
        path = ROOT / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _run(*command: object, timeout: float) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    with alone():
        for each in NAMES:
            archived(each, Path(sys.argv[1]))
