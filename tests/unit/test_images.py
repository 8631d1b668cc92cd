"""What images install is what pyproject.toml asks for, at the releases of images/constraints.txt, and what their code imports."""

import ast
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# An engine is what its image is made of: its releases are those of the base.
EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - {"vllm", "sglang"})
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))


def script(name):
    spec = importlib.util.spec_from_file_location(f"images_{name}", IMAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins():
    lines = (IMAGES / "constraints.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in found.items()}


def asked(*extras, base=False):
    return [Requirement(line) for line in script("requirements").requirements(PROJECT, extras, base=base)]


def imported(*folders):
    """Packages of others that the modules in these folders import, at any place."""
    found = set()
    for path in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"assay_api", "assay_operator", "assay_runner"}


def with_what_they_need(names):
    """The names of these packages and of all that they need in turn."""
    found, ahead = set(), {canonicalize_name(name) for name in names}
    while ahead:
        found |= ahead
        ahead = {needed for name in ahead for needed in needs(name)} - found
    return found


def needs(name):
    """What an installed package needs by itself; nothing where it is not installed."""
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    wanted = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}


def test_the_operators_extra_alone_has_what_the_operator_imports():
    provides = importlib.metadata.packages_distributions()
    installed = with_what_they_need(requirement.name for requirement in asked("operator"))
    modules = imported("crds/assay_api", "operator/assay_operator")
    assert {"kopf", "kubernetes", "pydantic"} <= modules
    assert not {name for name in modules if not installed & {canonicalize_name(one) for one in provides[name]}}


def test_extras_that_name_other_extras_are_followed():
    names = {requirement.name for requirement in asked("demo")}
    assert {"easy-vqa", "torch", "transformers"} <= names and "assay" not in names
    assert "boto3" in {requirement.name for requirement in asked("serve", base=True)}


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_requirement_is_pinned_at_a_release_that_it_allows(extra):
    wrong = [
        str(requirement)
        for requirement in asked(extra, base=True)
        if not requirement.specifier.contains(pins().get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert not wrong


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_requirements_need_in_turn_is_pinned_too(extra):
    needed = with_what_they_need(requirement.name for requirement in asked(extra, base=True))
    assert needed - {"pip", "setuptools"} <= set(pins())


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_takes_its_base_and_runs_as_a_plain_user(path):
    text = path.read_text()
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert re.fullmatch(r"ARG BASE_IMAGE=docker\.io/\S+:\S+", instructions[0])
    final = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 65532:65532$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["assay(-operator)?"\]$', final, re.MULTILINE)
    commands = re.sub(r"\\\n *", "", text).replace("&&", "\n").splitlines()
    installs = [command for command in commands if re.search(r"pip .*install", command)]
    assert installs
    for command in installs:
        assert "--no-cache-dir" in command and ("--constraint" in command or "--no-deps" in command), command


def test_what_images_copy_is_sent_to_the_builder():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in DOCKERFILES:
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", path.read_text(), re.MULTILINE):
            for source in line.split():
                here = ROOT / source
                assert here.exists(), source
                assert any(here in [*ROOT.glob(entry)] or (ROOT / entry).is_relative_to(here) for entry in allowed), (
                    source
                )


def test_beside_keeps_what_an_image_has_and_pins_the_rest():
    installed = "NumPy==2.2.0\ntorch==2.11.0+cu130\ntyping_extensions==4.10.0\n"
    pinned = "# why\nnumpy==2.4.6\nsacrebleu==2.6.0\ntorch==2.13.0\ntyping-extensions==4.16.0\n"
    assert script("beside").beside(installed, pinned) == [
        "NumPy==2.2.0",
        "sacrebleu==2.6.0",
        "torch==2.11.0+cu130",
        "typing_extensions==4.10.0",
    ]
