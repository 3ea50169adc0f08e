"""PolicyService: what the business allows itself."""

from collections.abc import Callable
from typing import Any, Final

import grpc

from chassis.clock import Clock, milliseconds_of
from chassis.failures import EtagMismatch, FieldInvalid
from merhaba.sender.v1 import (
    GetPolicyRequest,
    GetPolicyResponse,
    PolicyServiceServicer,
    SendingPolicy,
    UpdatePolicyRequest,
    UpdatePolicyResponse,
)
from services.sender.rulebook.policy_store import PolicyStore, StoredPolicy
from services.sender.rulebook.policy_wire import FIELDS, changed, policy_proto
from services.sender.rules.policy import Policy, check
from services.sender.wire import stamp

_GATES: Final = (
    *("template", "person", "complaint", "saturation", "frequency_cap", "quiet_hours", "number"),
)
"""Those at which what waits by rules of the policy is held: at the first that waits, whichever
others do."""


class PolicyApi(PolicyServiceServicer):
    """One set of rules for the whole installation."""

    def __init__(self, store: PolicyStore, moved: Callable[[], None], clock: Clock) -> None:
        """`moved` tells whoever asks held messages again that the rules changed."""
        self._store = store
        self._moved = moved
        self._clock = clock

    async def GetPolicy(
        self, request: GetPolicyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetPolicyResponse:
        """Return the policy."""
        return GetPolicyResponse(policy=_proto(await self._store.get()))

    async def UpdatePolicy(
        self, request: UpdatePolicyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> UpdatePolicyResponse:
        """Change what the mask names, or every populated field."""
        given = request.policy
        paths = set(request.update_mask.paths) or {
            field.name for field, _ in given.ListFields() if field.name in FIELDS
        }
        if unknown := sorted(paths - FIELDS):
            raise FieldInvalid("update_mask", f"there is no {unknown[0]!r} to change")

        def change(before: StoredPolicy) -> Policy:
            if given.etag and given.etag != str(before.version):
                raise EtagMismatch(str(before.version))
            policy = changed(before.policy, given, paths)
            check(policy)
            return policy

        stored = await self._store.change(change, _GATES, milliseconds_of(self._clock.now()))
        self._moved()
        return UpdatePolicyResponse(policy=_proto(stored))


def _proto(stored: StoredPolicy) -> SendingPolicy:
    policy = policy_proto(stored.policy)
    policy.etag = str(stored.version)
    if time := stamp(stored.update_time):
        policy.update_time.CopyFrom(time)
    return policy
