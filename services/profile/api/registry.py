"""RegistryService over gRPC."""

from collections.abc import Sequence
from typing import Any, Final, NoReturn, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration

from chassis import paging
from chassis.answers import Answers
from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from chassis.times import timestamp
from merhaba.profile.v1 import AttributeType as WireAttributeType
from merhaba.profile.v1 import (
    CancelRecomputeRequest,
    CancelRecomputeResponse,
    GetRecomputeRequest,
    GetRecomputeResponse,
    GetStageRulesRequest,
    GetStageRulesResponse,
    ListAttributesRequest,
    ListAttributesResponse,
    ListEventTypesRequest,
    ListEventTypesResponse,
    RegisterAttributeRequest,
    RegisterAttributeResponse,
    RegisterEventTypeRequest,
    RegisterEventTypeResponse,
    RegistryServiceServicer,
    StartRecomputeRequest,
    StartRecomputeResponse,
    UpdateStageRulesRequest,
    UpdateStageRulesResponse,
)
from merhaba.profile.v1 import EventType as WireEventType
from merhaba.profile.v1 import Recompute as WireRecompute
from merhaba.profile.v1 import StageRule as WireStageRule
from merhaba.profile.v1 import StageRules as WireStageRules
from services.profile.contract import asked
from services.profile.jobs.recompute import Recompute
from services.profile.person import attributes
from services.profile.person.model import ValueType
from services.profile.person.standing import StageRule, StageRules
from services.profile.person.vocabulary import STAGE, AttributeType, EventType
from services.profile.tables.registry import RegistryStore, RulesVersion, etag_of
from services.profile.tables.runs import Run

_USUAL: Final = 500
_MOST_CONTACTS: Final = 10_000
_MOST_PROPERTIES: Final = 200
_MOST_VALUES: Final = 500
_LONGEST: Final = 2_000
_TYPES: Final = frozenset(map(int, ValueType))
_ATTRIBUTE_FIELDS: Final = {
    "type": "type",
    "description": "description",
    "category": "category",
    "personal": "personal",
    "allowed_values": "allowed",
    "max_age_duration": "max_age",
}
_EVENT_FIELDS: Final = {
    "description": "description",
    "properties": "properties",
    "category": "category",
}

Call = Any  # what grpc knows of a call; the guard has looked at it


class RegistryApi(RegistryServiceServicer):
    """What can be known of people, and computing it anew."""

    def __init__(self, registry: RegistryStore, recompute: Recompute, answers: Answers) -> None:
        self._registry = registry
        self._recompute = recompute
        self._answers = answers

    async def RegisterAttribute(
        self, request: RegisterAttributeRequest, context: Call
    ) -> RegisterAttributeResponse:
        """Register an attribute, or change its registration."""
        told = request.attribute_type
        fields = _masked(request.update_mask.paths, told, _ATTRIBUTE_FIELDS)
        given = _attribute(told)

        async def respond() -> RegisterAttributeResponse:
            new = await self._registry.register_attribute(given, fields, told.etag)
            return RegisterAttributeResponse(attribute_type=_attribute_view(new))

        return await self._answers.once(
            request, request.request_id, respond, RegisterAttributeResponse
        )

    async def ListAttributes(
        self, request: ListAttributesRequest, context: Call
    ) -> ListAttributesResponse:
        """List attributes and traits by name."""
        asking, size = paging.query(request), paging.size(request.page_size, _USUAL)
        (after,) = paging.place(request.page_token, asking, [str]) or ("",)
        found = await self._registry.attributes(request.name_prefix, after, size + 1)
        page, token = paging.page(asking, found, size, lambda one: [one.name])
        return ListAttributesResponse(
            attribute_types=map(_attribute_view, page), next_page_token=token
        )

    async def RegisterEventType(
        self, request: RegisterEventTypeRequest, context: Call
    ) -> RegisterEventTypeResponse:
        """Register an event, or change its registration."""
        told = request.event_type
        fields = _masked(request.update_mask.paths, told, _EVENT_FIELDS)
        given = _event(told)

        async def respond() -> RegisterEventTypeResponse:
            new = await self._registry.register_event(given, fields, told.etag)
            return RegisterEventTypeResponse(event_type=_event_view(new))

        return await self._answers.once(
            request, request.request_id, respond, RegisterEventTypeResponse
        )

    async def ListEventTypes(
        self, request: ListEventTypesRequest, context: Call
    ) -> ListEventTypesResponse:
        """List events by name."""
        asking, size = paging.query(request), paging.size(request.page_size, _USUAL)
        (after,) = paging.place(request.page_token, asking, [str]) or ("",)
        found = await self._registry.events(request.name_prefix, after, size + 1)
        page, token = paging.page(asking, found, size, lambda one: [one.name])
        return ListEventTypesResponse(event_types=map(_event_view, page), next_page_token=token)

    async def GetStageRules(
        self, request: GetStageRulesRequest, context: Call
    ) -> GetStageRulesResponse:
        """Return the rules of the stages."""
        if request.version < 0:
            raise FieldInvalid("version", "negative; 0 is the one in force")
        return GetStageRulesResponse(
            stage_rules=_rules_view(await self._registry.rules(request.version))
        )

    async def UpdateStageRules(
        self, request: UpdateStageRulesRequest, context: Call
    ) -> UpdateStageRulesResponse:
        """Change the rules as a whole."""
        told = request.stage_rules
        rules = StageRules(
            tuple(StageRule(one.stage, one.expression, one.description) for one in told.rules),
            told.default_stage,
        )

        async def respond() -> UpdateStageRulesResponse:
            new = await self._registry.update_rules(rules, told.etag, request.validate_only)
            response = UpdateStageRulesResponse(stage_rules=_rules_view(new))
            if request.recompute and not request.validate_only:
                run = await self._recompute.start((), [STAGE])
                response.recompute_id = run.recompute_id
            return response

        if request.validate_only:
            return await respond()
        return await self._answers.once(
            request, request.request_id, respond, UpdateStageRulesResponse
        )

    async def StartRecompute(
        self, request: StartRecomputeRequest, context: Call
    ) -> StartRecomputeResponse:
        """Begin to compute traits and stages anew."""
        contact_ids = list(map(asked.known_id, request.contact_ids))
        if contact_ids:
            asked.batch(contact_ids, "contact_ids", _MOST_CONTACTS)

        async def respond() -> StartRecomputeResponse:
            # The same run, should the answer be lost before it is kept
            run_id = derived_id("rec", request.request_id) if request.request_id else ""
            run = await self._recompute.start(contact_ids, request.names, run_id)
            return StartRecomputeResponse(recompute=_run_view(run))

        return await self._answers.once(
            request, request.request_id, respond, StartRecomputeResponse
        )

    async def GetRecompute(
        self, request: GetRecomputeRequest, context: Call
    ) -> GetRecomputeResponse:
        """Return how a recompute stands."""
        run = await self._recompute.get(request.recompute_id)
        return GetRecomputeResponse(recompute=_run_view(run))

    async def CancelRecompute(
        self, request: CancelRecomputeRequest, context: Call
    ) -> CancelRecomputeResponse:
        """End a recompute where it stands."""

        async def respond() -> CancelRecomputeResponse:
            run = await self._recompute.cancel(request.recompute_id)
            return CancelRecomputeResponse(recompute=_run_view(run))

        return await self._answers.once(
            request, request.request_id, respond, CancelRecomputeResponse
        )


def _masked(
    paths: Sequence[str], told: WireAttributeType | WireEventType, fields: dict[str, str]
) -> list[str]:
    """Fields to change: those named, or all that are set."""
    for path in paths:
        if path not in fields:
            _unwritable(told.DESCRIPTOR, path)
    given = {field.name for field, _ in told.ListFields()}
    return [fields[name] for name in fields if name in (paths or given)]


def _unwritable(kind: Descriptor, path: str) -> NoReturn:
    known = "cannot be changed" if path in kind.fields_by_name else "is not there"
    raise FieldInvalid("update_mask", f"{path} {known}")


def _attribute(told: WireAttributeType) -> AttributeType:
    if told.type not in _TYPES:
        raise FieldInvalid("attribute_type.type", "none of the types; say what values are")
    if len(told.allowed_values) > _MOST_VALUES:
        raise FieldInvalid("attribute_type.allowed_values", "too many", limit=str(_MOST_VALUES))
    _short(told.description, "attribute_type.description")
    _short(told.category, "attribute_type.category")
    return AttributeType(
        told.name,
        ValueType(told.type),
        told.description,
        told.category,
        told.personal,
        tuple(value.encode() for value in told.allowed_values),
        _max_age(told.max_age_duration),
    )


def _max_age(told: Duration) -> int:
    ms = told.seconds * 1000 + told.nanos // 1_000_000
    if ms < 0:
        raise FieldInvalid("attribute_type.max_age_duration", "negative; leave it out for never")
    return ms


def _short(text: str, field: str) -> None:
    if len(text) > _LONGEST:
        raise FieldInvalid(field, "too long", limit=str(_LONGEST))


def _attribute_view(one: AttributeType) -> WireAttributeType:
    view = WireAttributeType(
        name=one.name,
        type=_wire_type(one.type),
        description=one.description,
        category=one.category,
        personal=one.personal,
        allowed_values=[value.decode() for value in one.allowed],
        computed=one.computed,
        etag=etag_of(one.revision),
    )
    if one.max_age:
        view.max_age_duration.FromMilliseconds(one.max_age)
    return view


def _wire_type(kind: ValueType) -> "WireAttributeType.Type.ValueType":
    return cast("WireAttributeType.Type.ValueType", int(kind))


def _event(told: WireEventType) -> EventType:
    if not attributes.well_named(told.name):
        raise FieldInvalid("event_type.name", "is not lower-case letters, digits and underscores")
    if len(told.properties) > _MOST_PROPERTIES:
        raise FieldInvalid("event_type.properties", "too many", limit=str(_MOST_PROPERTIES))
    for name, kind in told.properties.items():
        if not attributes.well_named(name) or kind not in _TYPES:
            raise FieldInvalid(f"event_type.properties.{name}", "no name or type of a property")
    _short(told.description, "event_type.description")
    _short(told.category, "event_type.category")
    properties = {name: ValueType(kind) for name, kind in told.properties.items()}
    return EventType(told.name, told.description, properties, told.category)


def _event_view(one: EventType) -> WireEventType:
    return WireEventType(
        name=one.name,
        description=one.description,
        properties={name: _wire_type(kind) for name, kind in one.properties.items()},
        built_in=one.built_in,
        last_event_time=timestamp(one.last_time or None),
        etag=etag_of(one.revision),
        category=one.category,
    )


def _rules_view(found: RulesVersion) -> WireStageRules:
    return WireStageRules(
        version=found.version,
        rules=[
            WireStageRule(stage=one.stage, expression=one.expression, description=one.description)
            for one in found.rules.rules
        ],
        default_stage=found.rules.default_stage,
        etag=etag_of(found.version),
        update_time=timestamp(found.update_time or None),
    )


def _run_view(run: Run) -> WireRecompute:
    return WireRecompute(
        recompute_id=run.recompute_id,
        state=WireRecompute.State.Name(run.state),  # type: ignore[arg-type]  # names are accepted
        passed_count=run.passed,
        total_count=run.total,
        changed_count=run.changed,
        failure=run.failure,
        create_time=timestamp(run.create_time),
        update_time=timestamp(run.update_time),
        end_time=timestamp(run.end_time or None),
    )
