"""Whether a campaign can be meant as it is written: by itself, and by what it names."""

import re
from collections.abc import Sequence
from typing import Final

from chassis.failures import FieldInvalid
from expressions import Registry
from merhaba.sender.v1 import Campaign as CampaignProto
from merhaba.sender.v1 import Schedule
from services.sender.campaigns.sieve import FIELD as FILTER
from services.sender.campaigns.sieve import Sieve
from services.sender.campaigns.wire import defined
from services.sender.failures import NumberNotFound, TemplateNotFound
from services.sender.model import DAY_MS, Campaign, Number, Template
from services.sender.wire import span
from services.sender.wording.binding_wire import checked_bindings
from services.sender.wording.bindings import compile_binding
from services.sender.wording.checking import check_variant

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_VARIANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME: Final = 200
_LISTED: Final = 10_000
_VARIANTS: Final = 20
_NUMBERS: Final = 100
_SHORTEST_SPAN_MS: Final = 3_600_000
_LONGEST_SPAN_MS: Final = 31 * DAY_MS


def check(draft: CampaignProto) -> Campaign:
    """What a definition says, if it can be meant. Raises FieldInvalid and ExpressionInvalid."""
    for field in ("name", "waba_id"):
        if not getattr(draft, field):
            raise FieldInvalid(f"campaign.{field}", "missing; give one")
    if len(draft.name) > _NAME:
        raise FieldInvalid("campaign.name", f"at most {_NAME} characters", limit=str(_NAME))
    if len(draft.phone_number_ids) > _NUMBERS:
        raise FieldInvalid("campaign.phone_number_ids", f"at most {_NUMBERS}", limit=str(_NUMBERS))
    if draft.purpose and not _PURPOSE.fullmatch(draft.purpose):
        raise FieldInvalid("campaign.purpose", "not a purpose: marketing, utility, …")
    if not 0 <= draft.hold_out_share < 1:
        raise FieldInvalid("campaign.hold_out_share", "0 to below 1")
    if draft.HasField("budget"):
        if draft.budget.amount_micros <= 0:
            raise FieldInvalid("campaign.budget.amount_micros", "not above 0")
        if not _CURRENCY.fullmatch(draft.budget.currency_code):
            raise FieldInvalid("campaign.budget.currency_code", "not ISO 4217, such as EUR")
    _check_audience(draft)
    _check_variants(draft)
    return defined(draft)


def _check_audience(draft: CampaignProto) -> None:
    audience = draft.audience
    match audience.WhichOneof("source"):
        case "segment":
            if not audience.segment.segment_id:
                raise FieldInvalid("campaign.audience.segment.segment_id", "missing; give one")
            if audience.segment.segment_version < 0:
                raise FieldInvalid("campaign.audience.segment.segment_version", "negative")
        case "contacts":
            people = audience.contacts.contacts
            field = "campaign.audience.contacts"
            if not 0 < len(people) <= _LISTED:
                problem = f"1 to {_LISTED}; put more into a segment or a file"
                raise FieldInvalid(field, problem, limit=str(_LISTED))
            for index, person in enumerate(people):
                match person.WhichOneof("destination"):
                    case "group_id":
                        raise FieldInvalid(f"{field}[{index}]", "groups get no campaigns")
                    case None:
                        raise FieldInvalid(f"{field}[{index}]", "names nobody")
        case "file":
            if not audience.file.file_id:
                raise FieldInvalid("campaign.audience.file.file_id", "missing; give one")
            country = audience.file.country_code
            if country and not _COUNTRY.fullmatch(country):
                raise FieldInvalid(
                    "campaign.audience.file.country_code", "not ISO 3166 alpha-2, such as TR"
                )
        case "triggered":
            pass
        case _:
            raise FieldInvalid("campaign.audience", "missing; say whom it is for")
    if Sieve(audience.filter).looks_back:
        raise FieldInvalid(
            FILTER,
            "asks for events or segments; make a segment of those it is for, and name that",
        )


def _check_variants(draft: CampaignProto) -> None:
    variants = draft.variants
    if not 0 < len(variants) <= _VARIANTS:
        raise FieldInvalid("campaign.variants", f"1 to {_VARIANTS}", limit=str(_VARIANTS))
    if len({one.name for one in variants}) < len(variants):
        raise FieldInvalid("campaign.variants", "each needs a name of its own")
    check_weights([one.weight for one in variants], "campaign.variants")
    for index, one in enumerate(variants):
        where = f"campaign.variants[{index}]"
        if not _VARIANT.fullmatch(one.name):
            raise FieldInvalid(f"{where}.name", "a-z, 0-9, _ and -, at most 64 characters")
        if not one.template_name:
            raise FieldInvalid(f"{where}.template_name", "missing; give one")
        for turn, binding in enumerate(checked_bindings(one.bindings, f"{where}.bindings")):
            compile_binding(binding, f"{where}.bindings[{turn}].expression")


def check_weights(weights: Sequence[float], where: str) -> None:
    """Raises FieldInvalid for weights that nobody can draw by."""
    if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < float("inf"):
        raise FieldInvalid(f"{where}.weight", "0 or more, one above 0")


def best_span(schedule: Schedule, campaign: Campaign) -> int:
    """The span of best times (ms); 0 for at once. Raises FieldInvalid."""
    field = "schedule.best_time_duration"
    if not schedule.HasField("best_time_duration"):
        return 0
    within = span(schedule.best_time_duration)
    if not _SHORTEST_SPAN_MS <= within <= _LONGEST_SPAN_MS:
        raise FieldInvalid(field, "1 hour to 31 days")
    if campaign.triggered:
        raise FieldInvalid(field, "what triggers bring is sent at once")
    return within


def check_materials(
    campaign: Campaign,
    templates: Sequence[Template],
    numbers: Sequence[Number],
    registry: Registry,
) -> None:
    """Whether all that a campaign names is there, and its bindings fill its templates, by what
    `registry` knows of attributes. Raises NumberNotFound, TemplateNotFound, ParametersInvalid and
    ExpressionInvalid."""
    known = {one.phone_number_id for one in numbers}
    for number in campaign.phone_number_ids:
        if number not in known:
            raise NumberNotFound(
                f"{number} is no number of account {campaign.waba_id}", phone_number_id=number
            )
    for index, variant in enumerate(campaign.variants):
        mine = [t for t in templates if t.name == variant.template and t.state != "DELETED"]
        if not mine:
            raise TemplateNotFound(
                f"{variant.template} is not known; sync the account's templates",
                waba_id=campaign.waba_id,
                name=variant.template,
                language="",
            )
        check_variant(variant, mine, f"campaign.variants[{index}]", registry)
