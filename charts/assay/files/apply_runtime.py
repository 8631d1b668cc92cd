"""Applies the chart's ClusterEvalRuntime; run by a hook of the chart in the operator's image, with nothing but Python.

The API may not be served yet when the hook starts: it was declared a moment before.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WAIT_SECONDS = 120


def main() -> None:
    """Send the manifest until it is taken, refused, or the API has not appeared in time."""
    runtime = json.loads(os.environ["RUNTIME"])
    name = runtime["metadata"]["name"]
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{host}:{port}/apis/assay.dev/v1alpha1/clusterevalruntimes/{name}"
        "?fieldManager=assay-chart&force=true&fieldValidation=Strict",
        data=json.dumps(runtime).encode(),
        method="PATCH",
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/apply-patch+yaml",
        },
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, context=context, timeout=10):  # noqa: S310 - the scheme is in the address above
                print(f"ClusterEvalRuntime {name} is applied.")
                return
        except urllib.error.HTTPError as error:
            problem = error.read().decode(errors="replace")
            if 400 <= error.code < 500 and error.code not in (404, 409, 429):
                sys.exit(f"The API server refused ClusterEvalRuntime {name}: {problem}")
        except OSError as error:
            problem = str(error)
        if time.monotonic() > end:
            sys.exit(f"ClusterEvalRuntime {name} could not be applied in {WAIT_SECONDS} s: {problem}")
        time.sleep(1)


if __name__ == "__main__":
    main()
