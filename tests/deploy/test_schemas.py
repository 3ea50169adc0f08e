"""Every manifest is one that Kubernetes and the operators know, in three versions at least."""

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.conftest import (
    APART,
    ROOT,
    Manifest,
    combined,
    components_of,
    overlay,
    program,
)

VERSIONS = ("1.31", "1.34", "1.37")
"""Of Kubernetes: the oldest that clouds still keep for long, one between, the newest known."""
OWN = {"v1", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"}
"""Groups of Kubernetes itself."""
UNPACKAGED = "redis.redis.opstreelabs.in"
"""A group whose schemas nobody packages: what we say of its kind is checked against `REDIS`."""


def only(required: str = "", **properties: Any) -> dict[str, Any]:
    """A JSON schema of an object that has these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT, NUMBER, TRUTH, OBJECT = ({"type": t} for t in ("string", "integer", "boolean", "object"))
NODES = only(
    replicas=NUMBER,
    redisConfig=only(additionalRedisConfig=TEXT),
    pdb=only(enabled=TRUTH, maxUnavailable=NUMBER, minAvailable=NUMBER),
    securityContext=OBJECT,
)
REDIS = only(
    "clusterSize kubernetesConfig",
    clusterSize=NUMBER,
    clusterVersion=TEXT,
    persistenceEnabled=TRUTH,
    podSecurityContext=OBJECT,
    kubernetesConfig=only("image", image=TEXT, imagePullPolicy=TEXT, resources=OBJECT),
    redisLeader=NODES,
    redisFollower=NODES,
    storage=only(
        volumeClaimTemplate=OBJECT, nodeConfVolume=TRUTH, nodeConfVolumeClaimTemplate=OBJECT
    ),
)
"""What of the operator's `RedisCluster` (v1beta2, api/rediscluster and api/common of its source) we
use. What is Kubernetes' own inside is looked at as such."""


def group(manifest: Manifest) -> str:
    return str(manifest["apiVersion"].split("/")[0])


@functools.cache
def valid(version: str, manifest: str) -> str:
    """What is wrong with a manifest, given as JSON."""
    try:
        kubernetes_validate.validate(json.loads(manifest), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(every: list[Manifest], version: str) -> None:
    own = [manifest for manifest in every if group(manifest) in OWN]
    assert own
    wrong = {
        f"{manifest['kind']} {manifest['metadata']['name']}": problem
        for manifest in own
        if (problem := valid(version, json.dumps(manifest, sort_keys=True)))
    }
    assert wrong == {}


def test_operators_know_their_kinds(every: list[Manifest]) -> None:
    theirs = [m for m in every if group(m) not in OWN | {UNPACKAGED}]
    node = program("node", "kinds of operators cannot be checked")
    done = subprocess.run(
        [node, ROOT / ".venv" / "models" / "validate.js"],
        input=json.dumps(theirs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_the_cluster_of_redis_says_what_its_operator_and_kubernetes_know() -> None:
    theirs = [m for m in combined("base", ("redis-cluster",)) if group(m) == UNPACKAGED]
    (cluster,) = theirs
    assert (cluster["apiVersion"], cluster["kind"]) == (f"{UNPACKAGED}/v1beta2", "RedisCluster")
    spec = cluster["spec"]
    jsonschema.validate(spec, REDIS)
    config, storage = spec["kubernetesConfig"], spec["storage"]
    containers = [
        {
            "name": name.lower(),
            "image": config["image"],
            "resources": config["resources"],
            "securityContext": spec[name]["securityContext"],
        }
        for name in ("redisLeader", "redisFollower")
    ]
    inside = [
        ("Pod", {"containers": containers, "securityContext": spec["podSecurityContext"]}),
        ("PersistentVolumeClaim", storage["volumeClaimTemplate"]["spec"]),
        ("PersistentVolumeClaim", storage["nodeConfVolumeClaimTemplate"]["spec"]),
    ]
    for kind, said in inside:
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": said}
        for version in VERSIONS:
            assert valid(version, json.dumps(manifest)) == "", kind


def test_a_field_that_nobody_knows_is_found() -> None:
    wrong: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"prots": []},
    }
    assert "prots" in valid(VERSIONS[0], json.dumps(wrong))


def test_two_autoscalers_never_have_one_deployment() -> None:
    for name in ("local", "staging", "production"):
        assert len(APART & set(components_of(name))) <= 1
        targets = [
            manifest["spec"]["scaleTargetRef"]["name"]
            for manifest in overlay(name)
            if manifest["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
        ]
        assert len(targets) == len(set(targets))


def test_nothing_fights_with_an_autoscaler(every: list[Manifest]) -> None:
    scaled = {
        manifest["spec"]["scaleTargetRef"]["name"]
        for manifest in every
        if manifest["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    }
    for manifest in every:
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] in scaled:
            assert "replicas" not in manifest["spec"], manifest["metadata"]["name"]


def test_the_models_are_those_that_are_locked() -> None:
    here = Path(__file__).parent / "models"
    wanted = json.loads((here / "package.json").read_text())["dependencies"]
    locked = json.loads((here / "package-lock.json").read_text())["packages"]
    assert {n: locked[f"node_modules/{n}"]["version"] for n in wanted} == wanted
