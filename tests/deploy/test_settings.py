"""Settings in the code and in the manifests are the same."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from chassis.settings import ServiceSettings
from tests.deploy.conftest import Manifest, settings_of
from tools import references
from tools.references import SERVICES


def settings_kind(service: str) -> type[ServiceSettings]:
    """The class of a service's settings."""
    (kind,) = (one for one in references.settings_of(service) if issubclass(one, ServiceSettings))
    return kind


def fields(service: str) -> dict[str, FieldInfo]:
    """What a service reads from its environment, by the variable's name."""
    return {name.upper(): field for name, field in settings_kind(service).model_fields.items()}


def secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation) or field.annotation is SecretStr


@pytest.fixture
def settings(rendered: list[Manifest]) -> dict[str, str]:
    return settings_of(rendered)


def variables(rendered: list[Manifest], service: str) -> dict[str, bool]:
    """Variables of a service's container, and whether it starts without them."""
    (container,) = next(
        m["spec"]["template"]["spec"]["containers"]
        for m in rendered
        if m["kind"] == "Deployment" and m["metadata"]["name"] == service
    )
    return {
        one["name"]: bool(one.get("valueFrom", {}).get("secretKeyRef", {}).get("optional"))
        for one in container.get("env", [])
    }


def common() -> set[str]:
    """Keys of the secret that every service has, as the README tells."""
    text = (Path(__file__).parents[2] / "deploy" / "k8s" / "README.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `common` |"))
    return set(re.findall(r"`(\w+)`", row)) - {"common"}


def test_every_setting_in_the_manifests_is_read_by_somebody(
    rendered: list[Manifest], settings: dict[str, str]
) -> None:
    known = {name for service in SERVICES for name in fields(service)}
    assert set(settings) <= known
    assert common() <= known
    for service in SERVICES:
        assert set(variables(rendered, service)) <= set(fields(service)), service


def test_every_setting_that_a_service_must_have_is_there(
    rendered: list[Manifest], settings: dict[str, str]
) -> None:
    for service in SERVICES:
        given = {name for name, optional in variables(rendered, service).items() if not optional}
        needed = {name for name, field in fields(service).items() if field.is_required()}
        assert needed <= given | set(settings) | common(), service


def test_secrets_are_nowhere_but_in_secrets(settings: dict[str, str]) -> None:
    secrets = {n for service in SERVICES for n, field in fields(service).items() if secret(field)}
    assert secrets
    assert not secrets & set(settings)


def test_values_are_ones_that_the_services_take(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINTEXT", raising=False)  # that is for tests of one service
    for service in SERVICES:
        for name, field in fields(service).items():
            if name in settings:
                monkeypatch.setenv(name, settings[name])
            elif field.is_required():
                monkeypatch.setenv(name, "x" * 32)
        read = settings_kind(service)()
        for name in settings.keys() & fields(service).keys():
            assert str(getattr(read, name.lower())).lower() in {
                settings[name].lower(),
                f"{settings[name]}.0",
            }, name
