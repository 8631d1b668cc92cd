"""Models of the hub: which commit a revision is, and a whole snapshot that is read without the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay_api.errors import Failed, SpecError
from assay_runner.models.files import SUFFIXES

_MANIFEST = "manifest"


def hub_commit(name: str, revision: str | None) -> str:
    """The commit that the revision is now. A commit whose configuration is on this machine is asked of nobody.

    Raises:
        SpecError: the hub has no such model or revision.
        Failed: the hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    with _hub_errors(name, revision):
        return Path(hf_hub_download(name, "config.json", revision=revision)).parent.name


def hub_snapshot(name: str, commit: str) -> Path:
    """The folder with all files of the model at the commit. The hub is asked only when one is missing; its own locks keep
    processes that share a cache apart.

    Raises:
        SpecError: the hub has no such model or revision.
        Failed: the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    wanted = [f"*{suffix}" for suffix in SUFFIXES]
    with _hub_errors(name, commit):
        # Only this asks whether the list of files is known; without it an unfinished snapshot is taken for a whole one.
        snapshot_download(name, revision=commit, allow_patterns=wanted, dry_run=True)
        return Path(snapshot_download(name, revision=commit, allow_patterns=wanted))


@contextmanager
def _hub_errors(name: str, revision: str | None) -> Iterator[None]:
    from huggingface_hub.errors import (
        DryRunError,
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RevisionNotFoundError as error:
        raise SpecError(
            _MANIFEST, "spec.model.revision", f"{name} has no revision {revision}", "give a branch, tag or commit of it"
        ) from error
    except (LocalEntryNotFoundError, DryRunError) as error:
        raise Failed(f"The model {name} is not on this machine and the hub cannot be reached.") from error
    except EntryNotFoundError as error:
        raise SpecError(_MANIFEST, "spec.model.name", f"{name} holds no config.json", "use another model") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise SpecError(
            _MANIFEST,
            "spec.model.name",
            f"{name} is neither a folder nor a model of the hub that you may read",
            "correct it, or give a token in HF_TOKEN",
        ) from error
    except HfHubHTTPError as error:
        raise Failed(f"The hub does not give {name}: {str(error).splitlines()[0]}.") from error
