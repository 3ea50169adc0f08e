"""Render every overlay of `deploy/k8s` with kubectl. Says so where kubectl is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OVERLAYS = ROOT / "deploy" / "k8s" / "overlays"


def main() -> None:
    """Exit with 1 and kubectl's own words when an overlay does not render."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        print("kubernetes: NOT checked, kubectl is not on the PATH")
        return
    failed = False
    for overlay in sorted(OVERLAYS.iterdir()):
        rendered = subprocess.run(
            [kubectl, "kustomize", overlay], capture_output=True, text=True, check=False
        )
        if rendered.returncode != 0:
            failed = True
            print(f"kubernetes: {overlay.relative_to(ROOT)} does not render:\n{rendered.stderr}")
        else:
            print(f"kubernetes: {overlay.relative_to(ROOT)} renders")
    sys.exit(failed)


if __name__ == "__main__":
    main()
