"""Nothing is imported that a command does not use."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "aiohttp",
    "boto3",
    "scipy",
    "numpy",
    "pydantic",
    "pyarrow",
    "PIL",
    "sacrebleu",
}


def imported(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_command_line_is_parsed_without_any_library():
    code = "from assay_runner.cli import parser\nparser().parse_args(['run', 'job.yaml'])"
    assert not imported(code) & HEAVY


@pytest.mark.parametrize("module", [f"assay_runner.cli.{name}" for name in ("work", "run", "plan", "compare")])
def test_a_command_starts_without_engines_or_clients(module):
    assert not imported(f"import {module}") & {
        "torch",
        "transformers",
        "datasets",
        "aiohttp",
        "boto3",
        "PIL",
        "sacrebleu",
    }
