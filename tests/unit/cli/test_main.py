"""What ends a command is one sentence and an exit code."""

import pytest

from assay_runner import cli


def test_a_command_that_runs_out_of_memory_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def dispatched(options: object) -> int:
        raise MemoryError

    monkeypatch.setattr(cli, "_dispatch", dispatched)
    assert cli.main(["reduce", "file:///runs/a/b/c"]) == 1
    assert capsys.readouterr().err.startswith("assay: Memory ran out; give the command more")
