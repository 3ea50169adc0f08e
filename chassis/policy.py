"""Who may call which RPC, as the one file says that names them all. Pure but for reading it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from chassis.failures import Misconfigured

_PARTS: Final = {"services", "roles", "calls"}


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything is denied that it does not name."""

    services: Mapping[str, Mapping[str, str]]
    """Our own, as their certificates name them; by service, what it meets outside the suite."""
    roles: Mapping[str, str]
    """What people and tools come as, with what each is for."""
    calls: Mapping[str, frozenset[str]]
    """By method (`merhaba.profile.v1.ProfileService/GetContact`): the services and roles that may
    call it."""

    def allows(self, who: str, method: str) -> bool:
        """Whether a service or a role may call a method."""
        return who in self.calls.get(method, ())

    def called_by(self, who: str) -> frozenset[str]:
        """The methods that a service or a role may call."""
        return frozenset(method for method, callers in self.calls.items() if who in callers)

    def edges(self) -> set[tuple[str, str]]:
        """Which service calls which."""
        return {
            (caller, owner(method))
            for method, callers in self.calls.items()
            for caller in callers & self.services.keys()
        }


def owner(method: str) -> str:
    """The service that serves a method: `profile` for `merhaba.profile.v1.…`."""
    return method.split(".")[1]


@cache
def read_policy(file: Path) -> Policy:
    """Read the file, once. Raises `Misconfigured` with what is wrong in it."""
    found = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)  # ten times as fast
    if not isinstance(found, dict) or found.keys() != _PARTS:
        raise Misconfigured(f"{file.name}: it has the parts {', '.join(sorted(_PARTS))}")
    services, roles = found["services"], found["roles"]
    if both := services.keys() & roles.keys():
        raise Misconfigured(f"{file.name}: {', '.join(sorted(both))} cannot be service and role")
    calls = {
        f"{contract}/{rpc}": frozenset(callers)
        for contract, rpcs in found["calls"].items()
        for rpc, callers in rpcs.items()
    }
    for method, callers in calls.items():
        if strangers := callers - services.keys() - roles.keys():
            raise Misconfigured(
                f"{file.name}: {method} names {', '.join(sorted(strangers))}, who is no service"
                " and no role"
            )
    return Policy(services, roles, calls)
