"""Make the network policies of the base from the policy of who may call whom.

`python tools/network_policies.py` writes deploy/k8s/base/network-policy.yaml; a test compares.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from chassis.policy import Policy, read_policy
from services import POLICY

FILE: Final = Path(__file__).resolve().parent.parent / "deploy/k8s/base/network-policy.yaml"
_HEAD: Final = """\
# Made by tools/network_policies.py from services/policy.yaml: change that. Nothing may talk to
# anything, and then each edge by itself. The table in ../README.md says the same in words.
"""
_NAME: Final = "app.kubernetes.io/name"
SERVICES_PORT, API_PORT, HTTP_PORT = 50051, 50052, 8080
_PRIVATE: Final = [
    *("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
]
_DNS: Final = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
_WORLD: Final = {"ipBlock": {"cidr": "0.0.0.0/0", "except": _PRIVATE}}
"""A policy knows addresses, not names: the world, but nothing in our own networks."""

Part = dict[str, Any]


def policies(policy: Policy) -> list[Part]:
    """Every policy: nothing for all, then what every pod, a migration and each service needs."""
    edges = policy.edges()
    return [
        _policy("default-deny", {}, ingress=[], egress=[]),
        _policy(
            "every-pod",
            {"app.kubernetes.io/part-of": "merhaba"},
            egress=[
                {"to": [_DNS], "ports": [{"port": 53, "protocol": p} for p in ("UDP", "TCP")]},
                _rule("to", [_anywhere("opentelemetry-collector")], 4317),
            ],
        ),
        _policy(
            "migrate",
            {"app.kubernetes.io/component": "migrate"},
            egress=[_rule("to", [_anywhere("postgres")], 5432)],
        ),
        *(
            _service(
                service, outside, {a for a, b in edges if b == service}, _called(edges, service)
            )
            for service, outside in policy.services.items()
        ),
    ]


def _called(edges: Iterable[tuple[str, str]], service: str) -> set[str]:
    return {called for caller, called in edges if caller == service}


def _service(name: str, outside: Mapping[str, str], callers: set[str], called: set[str]) -> Part:
    ingress = [_rule("from", [_labelled("merhaba.dev/client")], API_PORT)]
    if callers:
        ingress.insert(0, _rule("from", map(_pod, sorted(callers)), SERVICES_PORT))
    if "gateway" in outside:
        ingress.append(_rule("from", [_labelled("merhaba.dev/gateway")], HTTP_PORT))
    egress = [
        _rule("to", [_anywhere("postgres")], 5432),
        _rule("to", [_anywhere("redis")], 6379),
    ]
    if called:
        egress.append(_rule("to", map(_pod, sorted(called)), SERVICES_PORT))
    if "internet" in outside:
        egress.append(_rule("to", [_WORLD], 443))
    return _policy(name, {_NAME: name}, ingress=ingress, egress=egress)


def _policy(name: str, labels: Mapping[str, str], **rules: list[Part]) -> Part:
    """`rules`: by direction; a direction with an empty list is denied."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": dict(labels)} if labels else {},
            "policyTypes": [direction.capitalize() for direction in rules],
            **{direction: list(rule) for direction, rule in rules.items() if rule},
        },
    }


def _rule(way: str, peers: Iterable[Part], port: int) -> Part:
    return {way: list(peers), "ports": [{"port": port}]}


def _pod(name: str) -> Part:
    return {"podSelector": {"matchLabels": {_NAME: name}}}


def _anywhere(name: str) -> Part:
    return {"namespaceSelector": {}, **_pod(name)}


def _labelled(label: str) -> Part:
    return {"namespaceSelector": {"matchLabels": {label: "true"}}}


class _Plain(yaml.SafeDumper):
    """Writes what stands in several places in each of them."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def text(policy: Policy) -> str:
    """The file."""
    parts = [
        yaml.dump(part, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=160)
        for part in policies(policy)
    ]
    return _HEAD + "---\n".join(parts)


def main() -> None:
    """Write the file."""
    FILE.write_text(text(read_policy(POLICY)), encoding="utf-8")
    print(f"{FILE.name}: {len(policies(read_policy(POLICY)))} policies")


if __name__ == "__main__":
    main()
