"""Alerts fire when they should, over metrics that there are; dashboards are what the code makes."""

import re
import subprocess
import typing
from pathlib import Path

import pytest
import yaml

from chassis import names
from tests.deploy.conftest import K8S, ROOT, program
from tools import monitoring

HERE = Path(__file__).parent
FOLDER = K8S / "components" / "monitoring"
OTHERS = {"up"}
"""Metrics that Prometheus makes itself."""
ADDED = ("_bucket", "_count", "_sum")
ENDS = {"s": "_seconds", "By": "_bytes"}


def rules() -> list[dict[str, str]]:
    found = []
    for name in ("alerts.yaml", "slos.yaml"):
        for group in yaml.safe_load((FOLDER / name).read_text())["spec"]["groups"]:
            found += group["rules"]
    return found


@pytest.fixture
def rule_files(tmp_path: Path) -> list[str]:
    """The rules as Prometheus reads them, without what the operator wraps around them."""
    paths = []
    for name in ("alerts.yaml", "slos.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(yaml.safe_load((FOLDER / name).read_text())["spec"]))
        paths.append(str(path))
    return paths


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [program("promtool", "rules of alerts cannot be tried"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_reads_the_rules(rule_files: list[str]) -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", *rule_files)


def test_alerts_fire_when_they_should(rule_files: list[str], tmp_path: Path) -> None:
    tried = yaml.safe_load((HERE / "alerts_test.yaml").read_text()) | {"rule_files": rule_files}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(tried))
    assert "SUCCESS" in promtool("test", "rules", str(path))


def test_every_alert_is_tried() -> None:
    tried = yaml.safe_load((HERE / "alerts_test.yaml").read_text())["tests"]
    fired = {c["alertname"] for t in tried for c in t["alert_rule_test"] if c["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]  # type: ignore[index]
            assert rule["annotations"]["summary"], rule["alert"]  # type: ignore[index]


def queries() -> list[str]:
    shown = yaml.safe_load((FOLDER / "dashboards.yaml").read_text())
    drawn = [
        query
        for board in shown.values()
        for panels in board["rows"].values()
        for panel in panels
        for query in panel["queries"].values()
    ]
    scaled = [
        trigger["metadata"]["query"]
        for path in (K8S / "components" / "keda").glob("*.yaml")
        for manifest in yaml.safe_load_all(path.read_text())
        if isinstance(manifest, dict)
        for trigger in manifest.get("spec", {}).get("triggers", [])
    ]
    return [str(rule["expr"]) for rule in rules()] + drawn + scaled


def test_every_query_asks_for_metrics_that_the_code_has() -> None:
    known = {re.sub(r"\W", "_", name) for name in typing.get_args(names.Metric)}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for query in queries():
        words = re.sub(r'"[^"]*"|\{[^}]*\}|by \([^)]*\)', " ", query)
        asked = set(re.findall(r"\b(?:merhaba|rpc)[\w:]*|\bup\b", words)) - recorded - OTHERS
        for metric in asked:
            plain = metric.removesuffix("_total")
            for end in (*ADDED, *ENDS.values()):
                plain = plain.removesuffix(end)
            for end in ENDS.values():
                plain = plain.removesuffix(end)
            assert plain in known, f"{metric} in: {query}"


def test_what_is_made_is_what_stands_there() -> None:
    for path, text in monitoring.made().items():
        assert path.read_text() == text, f"run tools/monitoring.py: {path.relative_to(ROOT)}"
