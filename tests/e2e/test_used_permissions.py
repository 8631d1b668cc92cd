"""The operator may do what it does, and nothing else: the chart's rules against the API server's own record of all e2e tests.

The name of this file puts it behind the others.
"""

import json
from pathlib import Path

import pytest
import yaml

from support.e2e import NAMESPACE

WHOLE = {"test_life", "test_own_parts", "test_permissions", "test_trouble"}


def test_the_operators_permissions_are_what_it_used_and_no_more(lab, operator, request):
    if not {item.path.stem for item in request.session.items} >= WHOLE:
        pytest.skip("only after all other end-to-end tests has everything been used")
    if lab.cluster.script is None:
        pytest.skip("kind keeps no audit log")
    used = calls(Path(lab.cluster.kubeconfig).parent / "log" / "audit.log")
    granted = rules(lab.cluster.helm("get", "manifest", "assay", "-n", NAMESPACE).stdout)
    assert used - granted == set(), "used without a rule of the chart"
    assert granted - used == set(), "granted, and never used"


def calls(log: Path) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of every call that the operator's service account was allowed or refused."""
    found = set()
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        about = entry.get("objectRef")
        if about is None or entry["user"]["username"] != f"system:serviceaccount:{NAMESPACE}:assay-operator":
            continue
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        place = (about.get("apiGroup", ""), resource)
        found.add((*place, entry["verb"]))
        # What server-side apply creates is asked for as a patch and allowed as both.
        if entry["verb"] == "patch" and entry["responseStatus"].get("code") == 201:
            found.add((*place, "create"))
    return found


def rules(rendered: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of the operator's roles."""
    return {
        (group, resource, verb)
        for document in yaml.safe_load_all(rendered)
        if document
        and document["kind"] in ("ClusterRole", "Role")
        and document["metadata"]["name"] in ("assay-operator", "assay-operator-lease")
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
