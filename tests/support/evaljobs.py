"""EvalJobs as an API server sends them, at every stage of their life."""

from __future__ import annotations

from typing import Any

CREATED = "2026-03-01T12:00:00Z"
UID = "0f8b5c1e-7c52-4d3e-9a55-2f1f2e6f8a10"
DIGEST = "7d749c7b8a2a" + 52 * "0"
RUN = f"s3://evals/runs/research/easy-vqa/{UID}"


def condition(
    kind: str, status: str = "True", reason: str = "Done", message: str = "", at: str = CREATED
) -> dict[str, Any]:
    """One condition."""
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


def evaljob(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """The job `easy-vqa` in namespace `research` with this status."""
    data: dict[str, Any] = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "EvalJob",
        "metadata": {"name": "easy-vqa", "namespace": "research", "uid": UID, "creationTimestamp": CREATED, **metadata},
        "spec": {
            "runtimeRef": {"name": "default"},
            "model": {"backend": "transformers", "name": "tiny-vlm/model"},
            "tasks": [{"name": "easy_vqa"}],
            "replicas": 3,
            "storage": {"uri": "s3://evals/runs", "endpointUrl": "http://10.0.0.9:7070", "region": "us-east-1"},
        },
    }
    return data | ({"status": status} if status is not None else {})


def planned() -> dict[str, Any]:
    """`status.plan`."""
    return {
        "digest": DIGEST,
        "specDigest": 64 * "1",
        "runUri": RUN,
        "samples": 9673,
        "chunks": 61,
        "storageMode": "conditional",
    }


def running(**changes: Any) -> dict[str, Any]:
    """The status of a job at 4,200 of its 9,673 samples, with a worker that finds no node."""
    return {
        "observedGeneration": 1,
        "phase": "Running",
        "conditions": [
            condition("Accepted", reason="Accepted", message="Runtime default takes it."),
            condition("Planned", reason="Planned", message="9,673 samples in 61 chunks.", at="2026-03-01T12:00:20Z"),
            condition("Running", reason="Working", message="2 of 3 workers run.", at="2026-03-01T12:00:30Z"),
            condition("ChunksCommitted", "False", "Working", "26 of 61 chunks are committed."),
            condition("Reduced", "False", "Waiting"),
            condition("Complete", "False", "Working", "It goes on."),
            condition("Failed", "False", "Working", "It goes on."),
        ],
        "summary": {
            "tasks": "easy_vqa",
            "done": "4,200/9,673",
            "workers": "2/3",
            "note": "1 of 3 workers waits: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
        },
        "startTime": CREATED,
        "plan": planned(),
        "progress": {
            "samplesDone": 4200,
            "samplesTotal": 9673,
            "errors": 2,
            "chunksCommitted": 26,
            "samplesPerSecond": 130.4,
            "eta": "2026-03-01T12:02:42Z",
        },
        "workers": {"active": 2, "waiting": 1, "preempted": 1},
    } | changes


def complete(**changes: Any) -> dict[str, Any]:
    """The status of a job with results."""
    return (
        running()
        | {
            "phase": "Complete",
            "conditions": [
                condition("Accepted", reason="Accepted", message="Runtime default takes it."),
                condition("Complete", reason="Complete", message="9,673 samples scored.", at="2026-03-01T12:03:00Z"),
                condition("Running", "False", "Finished", "The workers have ended."),
            ],
            "summary": {"tasks": "easy_vqa", "score": "exact_match 0.9994 ± 0.0005"},
            "completionTime": "2026-03-01T12:03:00Z",
            "progress": {"samplesDone": 9673, "samplesTotal": 9673, "chunksCommitted": 61, "samplesPerSecond": 130.4},
            "workers": {"succeeded": 1},
            "results": [
                {
                    "task": "easy_vqa",
                    "metric": "exact_match",
                    "value": "0.9993797167",
                    "stderr": "0.0004551",
                    "ciLow": "0.9985",
                    "ciHigh": "1",
                    "n": 9673,
                },
                {
                    "task": "easy_vqa",
                    "metric": "[odd] (strict)",
                    "value": "red 0.5, blue 0.25",
                    "stderr": "nan",
                    "n": 12,
                    "errors": 3,
                },
            ],
            "resultsUri": f"{RUN}/results.json",
            "resultsDigest": 64 * "a",
        }
        | changes
    )


def judged(*verdicts: str) -> dict[str, Any]:
    """The status of a job with results and so many gates."""
    gates = [
        {
            "name": f"gate-{number}",
            "task": "easy_vqa",
            "metric": "exact_match",
            "verdict": verdict,
            "message": f"About gate {number}.",
        }
        for number, verdict in enumerate(verdicts)
    ]
    return complete(gates=gates)


def failed(reason: str, message: str) -> dict[str, Any]:
    """The status of a job that ended badly."""
    return {
        "phase": "Failed",
        "conditions": [condition("Accepted"), condition("Failed", reason=reason, message=message)],
        "startTime": CREATED,
        "completionTime": "2026-03-01T12:00:45Z",
    }
