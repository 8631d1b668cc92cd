"""`assay crd`: the definitions that make EvalJob, EvalSchedule and ClusterEvalRuntime known to a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay_api.crd import files
from assay_api.errors import EXIT_DONE, Failed


def crd(options: argparse.Namespace) -> int:
    """Print the definitions as one YAML stream, write them, or compare them with the files in a folder.

    Raises:
        Failed: a file cannot be written, or differs.
    """
    if options.write:
        _write(Path(options.write))
    if options.check:
        _check(Path(options.check))
    if not options.write and not options.check:
        print("---\n".join(files().values()), end="")
    return EXIT_DONE


def _write(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(
            f"{error.filename or folder} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error


def _check(folder: Path) -> None:
    for name, text in files().items():
        path = folder / name
        try:
            differs = "differs from the models" if path.read_text(encoding="utf-8") != text else ""
        except FileNotFoundError:
            differs = "does not exist"
        except (OSError, UnicodeDecodeError) as error:
            differs = f"cannot be read ({error})"
        if differs:
            raise Failed(f"{path} {differs}: run `assay crd --write {folder}`.")
