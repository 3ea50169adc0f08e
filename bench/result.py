"""The one shape of every benchmark's result."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

_VERSIONS: Final = ("aiohttp", "asyncpg", "grpcio", "protobuf", "redis", "uvloop")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, and the same of the baseline in the same run."""

    name: str
    value: float
    unit: str
    baseline: float | None = None


def tell(name: str, figures: Sequence[Figure]) -> None:
    """Print a benchmark's result as its last line."""
    print(
        json.dumps(
            {
                "name": name,
                "machine": f"{os.cpu_count()} x {platform.machine()}, {platform.system()},"
                f" Python {platform.python_version()}",
                "versions": {package: version(package) for package in _VERSIONS},
                "figures": {
                    f.name: {
                        "value": round(f.value, 3),
                        "unit": f.unit,
                        "baseline": None if f.baseline is None else round(f.baseline, 3),
                    }
                    for f in figures
                },
            }
        ),
        flush=True,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
