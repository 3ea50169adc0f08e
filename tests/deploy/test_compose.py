"""The compose file starts what the manifests start, with what each service must have."""

import re
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import ROOT
from tests.deploy.test_settings import SERVICES, fields, secret

FOLDER = ROOT / "deploy"


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"])


def test_every_service_is_migrated_and_started(parts: dict[str, Any]) -> None:
    for service in SERVICES:
        assert parts[service]["command"] == [f"services.{service}"]
        assert parts[f"migrate-{service}"]["command"] == [f"services.{service}", "migrate"]
        waits = parts[service]["depends_on"]
        assert waits[f"migrate-{service}"] == {"condition": "service_completed_successfully"}
        assert waits["certificates"] == {"condition": "service_completed_successfully"}


def test_every_service_has_what_it_must_have_and_nothing_unknown(parts: dict[str, Any]) -> None:
    for service in SERVICES:
        given, known = set(parts[service]["environment"]), fields(service)
        needed = {name for name, field in known.items() if field.is_required()}
        assert needed <= given, service
        targets = {name for name in given if name.endswith(("_TARGET", "_URL"))}
        assert given - targets <= set(known), service


def test_secrets_are_asked_for_and_never_written(parts: dict[str, Any]) -> None:
    example = (FOLDER / "compose.env.example").read_text()
    asked = {line.partition("=")[0] for line in example.splitlines() if "=" in line[:40]}
    for service in SERVICES:
        for name, value in parts[service]["environment"].items():
            if name in fields(service) and secret(fields(service)[name]):
                wanted = re.findall(r"\$\{(\w+)", str(value))
                assert wanted, f"{service}: {name}"
                assert set(wanted) <= asked, f"{service}: {name}"
    for line in example.splitlines():
        assert line.startswith("#") or line.endswith("="), "the example has no values"


def test_containers_may_do_little(parts: dict[str, Any]) -> None:
    for name, part in parts.items():
        if name in {"postgres", "redis", "certificates"}:
            continue
        assert part["read_only"], name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name


def test_only_the_doors_are_reached_from_outside(parts: dict[str, Any]) -> None:
    assert {name for name, part in parts.items() if "ports" in part} == {"ingest", "reports"}
    assert all(p.startswith("127.0.0.1:") for p in parts["reports"]["ports"])
