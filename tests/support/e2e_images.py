"""The images under test, built from the working tree and loaded into the cluster only when their content changed.

An image's tag is a digest of what it is made of, so a node cannot run an older one by mistake.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.kube import Cluster, run

ROOT = Path(__file__).parents[2]
KIND = os.environ.get("ASSAY_KIND_CLUSTER", "assay")
_CACHE = Path(tempfile.gettempdir()) / f"assay-images-{os.geteuid()}"
_COMMON = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "images/requirements.py",
    "images/constraints.txt",
    "crds/assay_api",
)
_OWN = {"operator": ("operator/assay_operator",), "runner": ("runner/assay_runner", "examples/tiny-vlm/model")}


@dataclass(frozen=True)
class Images:
    """References that the cluster's nodes can run without pulling."""

    operator: str
    runner: str


def built_and_loaded(cluster: Cluster) -> Images:
    """Build and load what the cluster's nodes do not have yet."""
    _CACHE.mkdir(exist_ok=True)
    with _alone():
        return Images(_image(cluster, "operator"), _image(cluster, "runner"))


def content(name: str) -> str:
    """Digest of what an image is made of."""
    digest = hashlib.sha256()
    for part in (*_COMMON, *_OWN[name], f"images/{name}.Dockerfile"):
        path = ROOT / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _image(cluster: Cluster, name: str) -> str:
    tag = f"localhost/assay-{name}:{content(name)}"
    nodes = cluster.get("nodes", selector="type!=kwok")["items"]
    for_nodes = hashlib.sha256("".join(sorted(node["metadata"]["uid"] for node in nodes)).encode()).hexdigest()[:12]
    loaded = _CACHE / f"{tag.rpartition('/')[2]}-{for_nodes}".replace(":", "-")
    if loaded.exists():
        return tag
    dockerfile = ROOT / "images" / f"{name}.Dockerfile"
    if cluster.script:
        tool = cluster.script.with_name("image")
        archive = _CACHE / f"{name}.tar"
        run(tool, "build", tag, dockerfile, ROOT, timeout=1500)
        run(tool, "export", tag, archive, timeout=300)
        run(cluster.script, "load", archive, timeout=600)
        archive.unlink()
    else:
        index = os.environ.get("TORCH_INDEX_URL", "")
        run(
            "docker",
            "build",
            "-f",
            dockerfile,
            "-t",
            tag,
            "--build-arg",
            f"TORCH_INDEX_URL={index}",
            ROOT,
            timeout=3000,
        )
        run("kind", "load", "docker-image", tag, "--name", KIND, timeout=900)
    loaded.touch()
    return tag


@contextmanager
def _alone() -> Iterator[None]:
    """Two sessions of tests do not build at once."""
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
