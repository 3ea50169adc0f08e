"""The manifests as kubectl renders them: every overlay, and every component put to the smallest."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
COMPONENTS = sorted(folder.name for folder in (K8S / "components").iterdir())
APART = {"autoscaling", "keda"}
"""Components of which one takes the other's place."""

Manifest = dict[str, Any]


def program(name: str, brings: str) -> str:
    """A program's path; a test without it is skipped, and in CI it fails."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not on the PATH: {brings}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def kustomized(folder: Path) -> list[Manifest]:
    kubectl = program("kubectl", "the manifests cannot be rendered")
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@functools.cache
def overlay(name: str) -> tuple[Manifest, ...]:
    return tuple(kustomized(K8S / "overlays" / name))


def components_of(overlay: str) -> list[str]:
    """The components that an overlay puts together itself."""
    said = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())
    return [Path(path).name for path in said.get("components", [])]


def combinations(overlay: str) -> list[tuple[str, ...]]:
    """What may be added to an overlay: each component alone, and all that go together."""
    has = components_of(overlay)
    if has:
        return []
    alone = [(component,) for component in COMPONENTS]
    together = [tuple(c for c in COMPONENTS if c not in APART - {one}) for one in sorted(APART)]
    return alone + together


@functools.cache
def combined(overlay: str, components: tuple[str, ...]) -> tuple[Manifest, ...]:
    with tempfile.TemporaryDirectory() as folder:
        relative = Path(os.path.relpath(K8S, Path(folder).resolve()))
        said = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [str(relative / overlay)],
            "components": [str(relative / "components" / component) for component in components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(said))
        return tuple(kustomized(Path(folder)))


def settings_of(rendered: list[Manifest]) -> dict[str, str]:
    """What is set for every service and no secret."""
    (found,) = (
        manifest["data"]
        for manifest in rendered
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith("settings-")
    )
    return dict(found)


@pytest.fixture(params=OVERLAYS)
def rendered(request) -> list[Manifest]:
    return list(overlay(request.param))


RENDERED = [(f"overlays/{name}", ()) for name in OVERLAYS] + [
    (place, components)
    for place in ("base", "overlays/local")
    for components in combinations("local")
]


@pytest.fixture(params=RENDERED, ids=lambda p: f"{p[0]}+{'+'.join(p[1])}".rstrip("+"))
def every(request) -> list[Manifest]:
    """Every overlay, and base and the smallest overlay with each component and with all of them."""
    place, components = request.param
    return list(combined(place, components))
