"""The image is small, nobody's, the same each time, and says what is in it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from tests.deploy.conftest import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def locked(name: str) -> dict[str, str]:
    """Versions in a lock, of what is installed on this machine."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        told = re.match(r"([\w.-]+)==([^ ;]+)(?: *; *(.+?))? *\\?$", line)
        if told and (not told[3] or Marker(told[3]).evaluate()):
            found[told[1]] = told[2]
    return found


def test_it_runs_as_nobody_special_from_locked_wheels() -> None:
    assert "USER 10001:10001" in DOCKERFILE
    installs = re.findall(r"pip (?:--python \S+ )?install (.*)", DOCKERFILE)
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments
        assert "--only-binary=:all:" in arguments


def test_what_it_copies_is_there_and_reaches_the_builder() -> None:
    copied = [
        line.split()[1] for line in DOCKERFILE.splitlines() if re.match(r"COPY (?!--from)", line)
    ]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        allowed = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
        assert f"!{path}" in allowed


def test_what_makes_its_contracts_is_in_the_lock() -> None:
    wanted = re.search(r"\^\((.*?)\)==", DOCKERFILE)
    assert wanted
    for package in wanted[1].split("|"):
        assert package in locked("requirements-dev.lock")


def test_its_inventory_has_every_dependency_and_no_timestamp(tmp_path: Path) -> None:
    command = re.search(r"RUN /tool/bin/(cyclonedx-py .*) -o ", DOCKERFILE)
    assert command
    program, *arguments = command[1].split()
    path = tmp_path / "sbom.json"
    made = subprocess.run(
        [Path(sys.executable).parent / program, *arguments, "-o", path, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    written = json.loads(path.read_bytes())
    assert not {"timestamp", "serialNumber"} & (written.keys() | written["metadata"].keys())
    told = {canonicalize_name(c["name"]): c["version"] for c in written["components"]}
    assert locked("requirements.lock").items() <= told.items()


def test_the_tool_that_takes_the_inventory_is_the_one_tried_here() -> None:
    tool, tried = locked("deploy/sbom.lock"), locked("requirements-dev.lock")
    assert "cyclonedx-bom" in tool
    assert {name: tried.get(name) for name in tool} == tool
