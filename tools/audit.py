"""Known weaknesses of what is locked: `make audit` asks pip-audit, and says so when nobody could
answer.

pip-audit itself ends well when the service of advisories knows none of the packages, as it does
behind a mirror that has packages only. Here that is no success: in CI it fails, elsewhere it is
told and passes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

LOCKS: Final = ("requirements.lock", "requirements-dev.lock")
_ROOT: Final = Path(__file__).resolve().parents[1]


class Verdict(NamedTuple):
    """What is known of a lock."""

    passed: bool
    said: list[str]


def verdict(lock: str, dependencies: list[dict[str, Any]], in_ci: bool) -> Verdict:
    """Of pip-audit's report on a lock; an empty one is of a service that did not answer."""
    looked_at = [one for one in dependencies if "skip_reason" not in one]
    if not looked_at:
        nothing = f"{lock}: NOT AUDITED, no advisories can be had here; try again where they can"
        return Verdict(not in_ci, [nothing])
    found = [
        f"{lock}: {one['name']} {one['version']} has {weakness['id']}; "
        + (f"take {', '.join(weakness['fix_versions'])}" if weakness["fix_versions"] else "no fix")
        for one in looked_at
        for weakness in one["vulns"]
    ]
    skipped = [f"{lock}: {one['name']} is unknown" for one in dependencies if one not in looked_at]
    said = [*found, *skipped, f"{lock}: {len(looked_at)} audited, {len(found)} weaknesses"]
    return Verdict(not found and not (skipped and in_ci), said)


def _report(lock: str) -> list[dict[str, Any]]:
    asked = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes"),
            *("--disable-pip", "--progress-spinner", "off", "--format", "json"),
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        print(asked.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return []
    return found


def main() -> None:
    """Audit every lock."""
    in_ci = os.environ.get("CI") == "true"
    verdicts = [verdict(lock, _report(lock), in_ci) for lock in LOCKS]
    print("\n".join(line for one in verdicts for line in one.said))
    sys.exit(not all(one.passed for one in verdicts))


if __name__ == "__main__":
    main()
