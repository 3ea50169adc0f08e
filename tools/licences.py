"""Licences of what is shipped: `python tools/licences.py` writes docs/licences.md from what is
installed."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "licences.md"
_HEAD: Final = """\
# Licences

Of every package in `requirements.lock`, as its own metadata tells; `python tools/licences.py`
writes this page, and a test compares. None is of the GPL or AGPL. Those of the LGPL are used as
they are installed, and whoever runs the suite may install another version of them.

| package | licence |
|---|---|
"""
_NAME: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==[^\s;]+(.*)$", re.MULTILINE)


def shipped() -> list[str]:
    """Names of the packages of the lock that are for every machine."""
    found = _NAME.findall((ROOT / "requirements.lock").read_text())
    return sorted({name for name, marker in found if not _elsewhere(name, marker)})


def _elsewhere(name: str, marker: str) -> bool:
    """Whether a package is for other machines than this."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return ";" in marker
    return False


def licence(name: str) -> str:
    """What an installed package says its licence is: an SPDX expression where it has one."""
    found = distribution(name)
    [said] = found.metadata.get_all("License-Expression", [""])
    classified = [
        one.rpartition(" :: ")[2]
        for one in found.metadata.get_all("Classifier", [])
        if one.startswith("License :: ")
    ]
    named = "".join(found.metadata.get_all("License", [])).strip().splitlines()
    return said or " OR ".join(classified) or (named[0] if named else _heading(found))


def _heading(found: Distribution) -> str:
    """How its licence file begins."""
    for file in found.files or ():
        if re.search(r"licen[cs]e", file.name, re.IGNORECASE):
            lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
            return lines[0]
    raise LookupError(f"{found.name} says nothing of its licence; look, and write it down here")


def page() -> str:
    """The page as it is to be."""
    return _HEAD + "".join(f"| {name} | {licence(name)} |\n" for name in shipped())


if __name__ == "__main__":
    PAGE.write_text(page())
