"""What operators read is so: every alert has its runbook, every command and setting exists."""

import re

import pytest
import typer.main
import yaml

from cli.commands import app
from tests.deploy.conftest import K8S, ROOT
from tools import references

PAGES = sorted((ROOT / "docs" / "operate").glob("*.md"))


def alerts() -> set[str]:
    found = set()
    for name in ("alerts.yaml", "slos.yaml"):
        said = yaml.safe_load((K8S / "components" / "monitoring" / name).read_text())
        found |= {r["alert"] for g in said["spec"]["groups"] for r in g["rules"] if "alert" in r}
    return found


def test_every_alert_has_its_runbook() -> None:
    page = (ROOT / "docs" / "operate" / "runbooks.md").read_text()
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == alerts()


def test_every_runbook_says_how_urgent_it_is_as_the_alert_does() -> None:
    page = (ROOT / "docs" / "operate" / "runbooks.md").read_text()
    said = dict(re.findall(r"^## (\w+)\n\n\*\*(\w+)\*\*", page, re.MULTILINE))
    for name in ("alerts.yaml", "slos.yaml"):
        rules = yaml.safe_load((K8S / "components" / "monitoring" / name).read_text())
        for group in rules["spec"]["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    assert said[rule["alert"]] == rule["labels"]["severity"], rule["alert"]


@pytest.mark.parametrize("page", references.pages(), ids=lambda page: page.name)
def test_references_are_what_the_code_says(page) -> None:
    assert page.read_text() == references.pages()[page], "run tools/references.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_a_page_names_exist(page) -> None:
    for line in re.findall(r"`(merhaba [^`]+)`|^(merhaba .+)$", page.read_text(), re.MULTILINE):
        commands = vars(typer.main.get_command(app)).get("commands", {})
        for word in re.split(r"\s+", line[0] or line[1])[1:]:
            if not commands:
                break
            assert word in commands, f"{page.name}: {line[0] or line[1]}"
            commands = vars(commands[word]).get("commands", {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page) -> None:
    for path in re.findall(
        r"`((?:deploy|docs|tools|services|chassis|protos)/[\w./-]+)`", page.read_text()
    ):
        assert (ROOT / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_names_exist(page) -> None:
    known = {
        name.upper()
        for service in references.SERVICES
        for kind in references.settings_of(service)
        for name in kind.model_fields
    }
    others = {"SIGTERM", "SIGKILL", "INTERNAL", "UNAVAILABLE"}
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", page.read_text()))
    assert named - others <= known, page.name
