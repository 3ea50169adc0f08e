"""What is shipped comes from where it says, under licences that allow it, and is audited."""

import re
from pathlib import Path

import pytest

from tools.audit import verdict
from tools.licences import PAGE, licence, page, shipped

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted(file for file in ROOT.rglob("*.lock") if ".venv" not in file.parts)
OLD = {"name": "old", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
SAFE = {"name": "safe", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def test_no_package_that_is_shipped_is_of_the_gpl() -> None:
    of_gpl = re.compile(r"(?<!L)GPL|General Public|Affero|SSPL|BUSL", re.IGNORECASE)
    lesser = re.compile(r"LGPL|Lesser", re.IGNORECASE)
    found = {name: licence(name) for name in shipped()}
    assert len(found) > 50
    assert [n for n, said in found.items() if of_gpl.search(said) and not lesser.search(said)] == []


def test_the_page_of_licences_is_of_what_is_locked() -> None:
    assert PAGE.read_text() == page(), "run `python tools/licences.py`"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda file: file.name)
def test_every_locked_package_has_one_version_and_its_hashes(lock: Path) -> None:
    text = lock.read_text()
    packages = [part for part in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if part.strip()]
    for package in packages:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[^\s*]+", package), package
        assert "--hash=sha256:" in package, package
    for where in ("://", " @ ", "--index", "-e ", "--find"):
        assert where not in text, "packages come from the index of whoever installs them"


def test_nothing_is_installed_without_its_hash() -> None:
    for file in ("Makefile", "deploy/Dockerfile"):
        for line in re.findall(r"pip install [^\n]*", (ROOT / file).read_text()):
            own = re.search(r"--no-deps --no-build-isolation|pip uv$", line)
            assert "--require-hashes" in line or own or line.endswith("uv"), f"{file}: {line}"


@pytest.mark.parametrize(
    ("dependencies", "passes", "passes_in_ci", "said"),
    [
        ([SAFE], True, True, "1 audited, 0 weaknesses"),
        ([SAFE, OLD], False, False, "old 1.0 has CVE-1; take 1.1"),
        ([SAFE, UNKNOWN], True, False, "unknown is unknown"),
        ([UNKNOWN], True, False, "NOT AUDITED"),
        ([], True, False, "NOT AUDITED"),
    ],
)
def test_an_audit_that_saw_nothing_says_so_and_fails_in_ci(
    dependencies: list[dict], passes: bool, passes_in_ci: bool, said: str
) -> None:
    assert verdict("a.lock", dependencies, in_ci=False).passed == passes
    found = verdict("a.lock", dependencies, in_ci=True)
    assert found.passed == passes_in_ci
    assert any(said in line for line in found.said)
