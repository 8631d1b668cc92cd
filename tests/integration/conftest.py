"""What integration tests share: the repository's root, the `assay` command as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def assay(tmp_path):
    """Run `assay ARGS` in a fresh folder with an environment that reaches no hub; returns the finished process."""

    def run(*arguments, cwd=None, env=None, timeout=240, check=None):
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **(env or {})}
        done = subprocess.run(
            [sys.executable, "-m", "assay_runner", *map(str, arguments)],
            cwd=cwd or tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def assay_in():
    """Run `assay ARGS` in a folder, for runs that several tests look at; it has to end well."""

    def run(folder, *arguments):
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
        command = [sys.executable, "-m", "assay_runner", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"

    return run


@pytest.fixture
def write_job(tmp_path):
    """Write a manifest and return its path; keyword arguments are fields of spec."""

    def write(name="job", **spec):
        manifest = {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "EvalJob",
            "metadata": {"name": name},
            "spec": spec,
        }
        path = tmp_path / f"{name}.json.yaml"
        path.write_text(json.dumps(manifest))
        return path

    return write
