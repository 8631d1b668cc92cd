"""The images under test, loaded into the cluster only when their content changed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from support.image_archives import CACHE, ROOT, alone, archived, dockerfile, tag
from support.kube import Cluster, run

KIND = os.environ.get("ASSAY_KIND_CLUSTER", "assay")


@dataclass(frozen=True)
class Images:
    """References that the cluster's nodes can run without pulling."""

    operator: str
    runner: str


def built_and_loaded(cluster: Cluster) -> Images:
    """Build and load what the cluster's nodes do not have yet."""
    with alone():
        return Images(_image(cluster, "operator"), _image(cluster, "runner"))


def _image(cluster: Cluster, name: str) -> str:
    wanted = tag(name)
    nodes = cluster.get("nodes", selector="type!=kwok")["items"]
    for_nodes = hashlib.sha256("".join(sorted(node["metadata"]["uid"] for node in nodes)).encode()).hexdigest()[:12]
    loaded = CACHE / f"{wanted.rpartition('/')[2]}-{for_nodes}".replace(":", "-")
    if loaded.exists():
        return wanted
    if cluster.script:
        archive = archived(name, cluster.script.with_name("image"))
        run(cluster.script, "load", archive, timeout=600)
        archive.unlink()
    else:
        index = os.environ.get("TORCH_INDEX_URL", "")
        run(
            "docker",
            "build",
            "-f",
            dockerfile(name),
            "-t",
            wanted,
            "--build-arg",
            f"TORCH_INDEX_URL={index}",
            ROOT,
            timeout=3000,
        )
        run("kind", "load", "docker-image", wanted, "--name", KIND, timeout=900)
    loaded.touch()
    return wanted
