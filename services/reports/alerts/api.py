"""gRPC: rules for when somebody should be told, and what they found."""

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final

from yarl import URL

from chassis import paging
from chassis.addresses import OutboundRefused
from chassis.answers import Answers
from chassis.callers import call
from chassis.clock import Clock, milliseconds_of, moment_of
from chassis.failures import EtagMismatch, FieldInvalid
from chassis.ids import derived_id
from merhaba.reports.v1 import (
    AcknowledgeAlertRequest,
    AcknowledgeAlertResponse,
    AlertServiceServicer,
    CreateAlertRuleRequest,
    CreateAlertRuleResponse,
    DeleteAlertRuleRequest,
    DeleteAlertRuleResponse,
    GetAlertRuleRequest,
    GetAlertRuleResponse,
    ListAlertRulesRequest,
    ListAlertRulesResponse,
    ListAlertsRequest,
    ListAlertsResponse,
    UpdateAlertRuleRequest,
    UpdateAlertRuleResponse,
)
from services.reports.alerts import nouns
from services.reports.alerts.model import Rule
from services.reports.alerts.store import AlertStore
from services.reports.failures import (
    AlertNotFound,
    AlertRuleNotFound,
    DestinationUnusable,
    UrlRefused,
)
from services.reports.masks import edited

_LONGEST_NOTE: Final = 1_000
MOST_RULES: Final = 500
"""Each is looked at every minute to every quarter of an hour."""


class AlertApi(AlertServiceServicer):
    """Who should know what. Meaning and errors: the contract."""

    def __init__(
        self,
        store: AlertStore,
        address: Callable[[str], URL],
        secrets: Mapping[str, str],
        answers: Answers,
        clock: Clock,
    ) -> None:
        """`address`: checks one that is to be called. `secrets`: what calls are signed with."""
        self._store = store
        self._address = address
        self._secrets = secrets
        self._answers = answers
        self._clock = clock

    async def CreateAlertRule(
        self, request: CreateAlertRuleRequest, context: Any
    ) -> CreateAlertRuleResponse:
        """Stores a rule."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing")

        async def respond() -> CreateAlertRuleResponse:
            made = nouns.rule(request.alert_rule, self._check)
            now = self._clock.now()
            made.alert_rule_id = derived_id("rule", request.request_id)
            if await self._store.others(made.alert_rule_id) >= MOST_RULES:
                raise FieldInvalid(
                    "alert_rule", "too many; delete one first", limit=str(MOST_RULES)
                )
            made.update_time = milliseconds_of(now)
            await self._store.add([made], now)
            return CreateAlertRuleResponse(alert_rule=nouns.rule_proto(made))

        return await self._answers.once(
            request, request.request_id, respond, CreateAlertRuleResponse
        )

    async def GetAlertRule(
        self, request: GetAlertRuleRequest, context: Any
    ) -> GetAlertRuleResponse:
        """Returns one rule."""
        found = await self._store.rule(request.alert_rule_id)
        if found is None:
            raise AlertRuleNotFound(request.alert_rule_id)
        return GetAlertRuleResponse(alert_rule=nouns.rule_proto(found))

    async def ListAlertRules(
        self, request: ListAlertRulesRequest, context: Any
    ) -> ListAlertRulesResponse:
        """Lists rules by name."""
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [str, str])
        found = await self._store.rules(place and (place[0], place[1]), size + 1)
        page, more = paging.page(query, found, size, lambda one: [one.name, one.alert_rule_id])
        return ListAlertRulesResponse(
            alert_rules=[nouns.rule_proto(one) for one in page], next_page_token=more
        )

    async def UpdateAlertRule(
        self, request: UpdateAlertRuleRequest, context: Any
    ) -> UpdateAlertRuleResponse:
        """Changes a rule."""
        given, paths = request.alert_rule, request.update_mask.paths

        def change(one: Rule) -> Rule:
            _same(one, given.etag)
            proto = edited(nouns.rule_proto(one), given, paths, nouns.MUTABLE)
            wanted = nouns.rule(proto, self._check)
            wanted.alert_rule_id, wanted.built_in = one.alert_rule_id, one.built_in
            return wanted

        changed = await self._store.change_rule(given.alert_rule_id, change, self._clock.now())
        if changed is None:
            raise AlertRuleNotFound(given.alert_rule_id)
        return UpdateAlertRuleResponse(alert_rule=nouns.rule_proto(changed))

    async def DeleteAlertRule(
        self, request: DeleteAlertRuleRequest, context: Any
    ) -> DeleteAlertRuleResponse:
        """Deletes a rule."""
        deleted = await self._store.delete_rule(
            request.alert_rule_id, lambda one: _same(one, request.etag), self._clock.now()
        )
        if not deleted:
            raise AlertRuleNotFound(request.alert_rule_id)
        return DeleteAlertRuleResponse()

    async def ListAlerts(self, request: ListAlertsRequest, context: Any) -> ListAlertsResponse:
        """Lists alerts, latest opened first."""
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [int, str])
        since = None
        if request.HasField("start_time"):
            try:
                since = request.start_time.ToDatetime(UTC)
            except (ValueError, OverflowError):
                raise FieldInvalid("start_time", "out of range") from None
        found = await self._store.alerts(
            nouns.states(request.states),
            request.alert_rule_id,
            since,
            place and (moment_of(place[0]), place[1]),
            size + 1,
        )
        page, more = paging.page(
            query, found, size, lambda one: [one.alert.open_time, one.alert.alert_id]
        )
        return ListAlertsResponse(alerts=[nouns.alert(one) for one in page], next_page_token=more)

    async def AcknowledgeAlert(
        self, request: AcknowledgeAlertRequest, context: Any
    ) -> AcknowledgeAlertResponse:
        """Says that somebody takes care."""
        if len(request.note) > _LONGEST_NOTE:
            raise FieldInvalid("note", "too long", limit=str(_LONGEST_NOTE))
        found = await self._store.acknowledge(
            request.alert_id, call.get().caller.name, request.note, self._clock.now()
        )
        if found is None:
            raise AlertNotFound(request.alert_id)
        return AcknowledgeAlertResponse(alert=nouns.alert(found))

    def _check(self, path: str, url: str, secret_name: str) -> None:
        try:
            self._address(url)
        except OutboundRefused as refused:
            raise UrlRefused(f"{path}.url", str(refused)) from None
        if secret_name not in self._secrets:
            raise DestinationUnusable(f"{path}.secret_name")


def _same(one: Rule, etag: str) -> None:
    if etag and etag != str(one.version):
        raise EtagMismatch(str(one.version))
