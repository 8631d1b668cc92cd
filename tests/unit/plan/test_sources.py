"""Task files of a mounted ConfigMap are read as a folder's would be."""

from pathlib import Path

import pytest

from assay_api.errors import SpecError
from assay_api.evaljob import TaskSource
from assay_runner.plan.sources import task_folders
from support.runs import write_task

SOURCES = [TaskSource(uri="folder"), TaskSource.model_validate({"configMapRef": {"name": "my-tasks"}})]


def mount(folder: Path, files: dict[str, str]) -> Path:
    """As the kubelet does it: each key a link through `..data` to a folder with a time in its name."""
    real = folder / "..2026_11_24_10_00_00.123456789"
    real.mkdir(parents=True)
    for name, text in files.items():
        (real / name).write_text(text)
        (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data").symlink_to(real.name)
    return folder


def test_a_config_maps_keys_are_copied_once_each(tmp_path):
    (tmp_path / "folder").mkdir()
    mount(tmp_path / "maps" / "1", {"a.yaml": "task: a", "utils.py": "x = 1", ".keep": ""})
    (tmp_path / "scratch").mkdir()
    _, found = task_folders(SOURCES, tmp_path / "job.json", tmp_path / "scratch", tmp_path / "maps")
    assert {path.name: path.read_text() for path in found.rglob("*")} == {
        "a.yaml": "task: a",
        "utils.py": "x = 1",
        ".keep": "",
    }
    assert not any(path.is_symlink() for path in found.rglob("*")) and found.name == "my-tasks"


def test_a_config_map_that_changes_while_it_is_copied_is_never_a_mixture(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    folder = mount(tmp_path / "maps" / "1", {"a.yaml": "old", "b.yaml": "old"})
    newer = folder / "..2026_11_25_10_00_00.1"
    newer.mkdir()
    for name in ("a.yaml", "b.yaml"):
        (newer / name).write_text("new")
    read = Path.read_bytes

    def read_and_change(path):
        data = read(path)
        (folder / "..data").unlink(missing_ok=True)
        (folder / "..data").symlink_to(newer.name)
        return data

    monkeypatch.setattr(Path, "read_bytes", read_and_change)
    _, found = task_folders(SOURCES, tmp_path / "job.json", tmp_path / "scratch", tmp_path / "maps")
    assert {path.read_text() for path in found.iterdir()} == {"old"}


@pytest.mark.parametrize("mounted", [True, False])
def test_an_empty_config_map_is_named(tmp_path, mounted):
    (tmp_path / "folder").mkdir()
    if mounted:
        mount(tmp_path / "maps" / "1", {})
    with pytest.raises(SpecError, match=r"spec.taskSources\[1\].configMapRef: ConfigMap my-tasks holds no files"):
        task_folders(SOURCES, tmp_path / "job.json", tmp_path / "scratch", tmp_path / "maps")


def test_without_a_cluster_there_are_no_config_maps(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError, match="ConfigMaps exist on a cluster only"):
        task_folders(SOURCES, tmp_path / "job.json", tmp_path / "scratch")


def test_a_folder_beside_the_manifest_is_read_where_it_lies(tmp_path):
    write_task(tmp_path / "folder")
    assert task_folders(SOURCES[:1], tmp_path / "job.json", tmp_path, tmp_path / "maps") == [tmp_path / "folder"]
