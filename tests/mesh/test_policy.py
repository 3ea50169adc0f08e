"""One file says who may call what: it names every RPC, and allows the calls the code makes."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from chassis.callers import INTERNAL, Caller, Callers, RoleDenied
from chassis.contracts import idempotency
from chassis.failures import Misconfigured
from chassis.policy import Policy, owner, read_policy
from services import POLICY
from services.profile.person import roles as of_profile
from services.segment import roles as of_segment
from services.sender import roles as of_sender

ROOT = Path(__file__).resolve().parents[2]
EDIT = re.compile(r"^(Update|Delete)")


@pytest.fixture
def policy() -> Policy:
    return read_policy(POLICY)


def contracts() -> Iterator[tuple[str, str]]:
    """Every RPC, as `contract/method`, with the fields of its request."""
    for file in sorted((ROOT / "protos").rglob("*_service.proto")):
        module = ".".join(file.relative_to(ROOT / "protos").with_suffix("").parts) + "_pb2"
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                fields = {field.name for field in method.input_type.fields}
                yield f"{service.full_name}/{method.name}", " ".join(fields)


def test_every_rpc_of_every_contract_is_named_and_nothing_else(policy: Policy) -> None:
    assert set(policy.calls) == {method for method, _ in contracts()}


def test_no_rpc_is_named_twice(policy: Policy) -> None:
    lines = re.findall(r"^    \w+: \[", POLICY.read_text(), re.MULTILINE)
    assert len(lines) == len(policy.calls)


def test_services_may_call_what_their_code_calls_and_nothing_else(policy: Policy) -> None:
    """Of the stubs that a service's code names: the methods that it names."""
    for service in policy.services:
        allowed = {m for m in policy.called_by(service) if owner(m) != service}
        assert allowed == set(called_by_the_code_of(service)), service
        assert policy.called_by(service) == allowed, "nobody calls itself"


def called_by_the_code_of(service: str) -> Iterator[str]:
    stubs: set[tuple[str, str]] = set()
    named: set[str] = set()
    for file in (ROOT / "services" / service).rglob("*.py"):
        if "tests" not in file.parts:
            tree = ast.parse(file.read_text())
            stubs |= set(stubs_in(tree))
            named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for package, stub in stubs:
        importlib.import_module(package)
        contract = f"{package}.{stub.removesuffix('Stub')}"
        for method in descriptor_pool.Default().FindServiceByName(contract).methods:
            if method.name in named:
                yield f"{contract}/{method.name}"


def stubs_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Stubs imported by name, and those of packages imported under another name."""
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("merhaba."):
            for name in node.names:
                packages[name.asname or name.name] = f"{node.module}.{name.name}"
                if name.name.endswith("Stub"):
                    assert node.module is not None
                    yield node.module, name.name
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr.endswith("Stub")
            and node.value.id in packages
        ):
            yield packages[node.value.id], node.attr


def test_what_only_profile_asks_of_the_others_is_nobody_elses(policy: Policy) -> None:
    for method, callers in policy.calls.items():
        if "PrivacyService" in method and owner(method) not in {"profile", "chatbot"}:
            assert callers == {"profile"}, method


def test_every_role_has_a_sight_where_people_are_shown(policy: Policy) -> None:
    for shown in (of_profile, of_segment, of_sender):
        assert shown.SIGHTS.keys() == policy.roles.keys(), shown.__name__


def test_what_is_not_named_is_denied_to_everybody(policy: Policy) -> None:
    callers = Callers(policy=policy)
    somebody = [Caller(s, INTERNAL) for s in policy.services] + [
        Caller("desk", role) for role in policy.roles
    ]
    for caller in somebody:
        with pytest.raises(RoleDenied):
            callers.check(caller, "merhaba.profile.v1.ProfileService/ToCome")


def test_a_key_that_is_named_as_a_service_is_none(policy: Policy) -> None:
    callers = Callers(policy=policy)
    callers.check(Caller("profile", INTERNAL), "merhaba.ingest.v1.PrivacyService/EraseContact")
    with pytest.raises(RoleDenied):
        callers.check(
            Caller("profile", "operator"), "merhaba.ingest.v1.PrivacyService/EraseContact"
        )


def test_a_certificate_names_one_service_of_ours_or_nobody(policy: Policy) -> None:
    callers = Callers(policy=policy)
    assert callers.certified(["spiffe://merhaba/sender", "sender"]) == Caller("sender", INTERNAL)
    for names in (
        ["sender"],
        ["spiffe://elsewhere/sender"],
        ["spiffe://merhaba/operator"],
        ["spiffe://merhaba/sender", "spiffe://merhaba/profile"],
        [],
    ):
        assert callers.certified(names) is None, names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {}\nroles: {}\n", "it has the parts calls, roles, services"),
        ("services: {a: {}}\nroles: {a: x}\ncalls: {}\n", "a cannot be service and role"),
        ("services: {}\nroles: {}\ncalls: {C: {Get: [b]}}\n", "C/Get names b, who is no service"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_reason(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=said):
        read_policy(file)


def test_every_rpc_says_whether_it_may_be_repeated() -> None:
    """What carries a request id may; edits that carry an etag may not: the first try may have had
    its effect, and the second would be told of a conflict."""
    for method, fields in contracts():
        name, level = method.partition("/")[2], idempotency(method)
        if level == MethodOptions.IDEMPOTENCY_UNKNOWN:
            assert EDIT.match(name), method
            assert "request_id" not in fields, method
        if name.startswith(("Get", "List", "BatchGet", "Watch")):
            assert level == MethodOptions.NO_SIDE_EFFECTS, method


def test_every_contract_says_what_the_guard_may_answer() -> None:
    for package in {method.rpartition(".")[0] for method, _ in contracts()}:
        reasons = set(importlib.import_module(package).ErrorReason.keys())
        for reason in ("ROLE_DENIED", "QUOTA_EXCEEDED"):
            assert f"ERROR_REASON_{reason}" in reasons, package
