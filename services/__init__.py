"""The services, and the one file that says who may call which of their RPCs."""

from pathlib import Path
from typing import Final

POLICY: Final = Path(__file__).parent / "policy.yaml"
