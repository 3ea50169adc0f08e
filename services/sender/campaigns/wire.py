"""Campaigns between the contract and the model."""

from collections.abc import Sequence

from merhaba.profile.v1 import ContactRef
from merhaba.sender.v1 import Campaign as CampaignProto
from merhaba.sender.v1 import CampaignProgress, Recipient, VariantProgress
from merhaba.sender.v1 import Message as MessageProto
from services.sender.campaigns.progress import Counts, Outlook
from services.sender.model import (
    AudienceFile,
    Campaign,
    Message,
    Standing,
    State,
    Variant,
)
from services.sender.wire import at, cost_of, ref_of, span, stamp, updated
from services.sender.wording.binding_wire import bindings_of


def campaign_proto(standing: Standing) -> CampaignProto:
    """A campaign as the contract shows it."""
    campaign = CampaignProto.FromString(standing.definition)
    campaign.campaign_id = standing.campaign_id
    campaign.state = CampaignProto.State.ValueType(standing.state)
    campaign.state_reason = standing.state_reason
    campaign.etag = str(standing.version)
    for field in ("create_time", "update_time", "launch_time", "end_time"):
        if time := stamp(getattr(standing, field)):
            getattr(campaign, field).CopyFrom(time)
    if start := stamp(standing.start_time):
        campaign.schedule.start_time.CopyFrom(start)
    if standing.best_time_ms:
        campaign.schedule.best_time_duration.FromMilliseconds(standing.best_time_ms)
    return campaign


def stored(campaign: CampaignProto) -> bytes:
    """What is kept of a definition: all that callers say, and nothing that only we say."""
    kept = CampaignProto()
    kept.CopyFrom(campaign)
    for field in (
        *("campaign_id", "etag", "state", "state_reason", "schedule"),
        *("create_time", "update_time", "launch_time", "end_time"),
    ):
        kept.ClearField(field)
    return kept.SerializeToString(deterministic=True)


def campaign_of(standing: Standing) -> Campaign:
    """A campaign as planning and the gates need it."""
    campaign = defined(CampaignProto.FromString(standing.definition))
    campaign.campaign_id = standing.campaign_id
    campaign.phase = standing.state
    campaign.version = standing.version
    campaign.start_time = max(standing.start_time, standing.launch_time)
    campaign.best_time_ms = standing.best_time_ms
    return campaign


def is_triggered(standing: Standing) -> bool:
    """Whether triggers and journeys bring its recipients."""
    return CampaignProto.FromString(standing.definition).audience.HasField("triggered")


def defined(given: CampaignProto) -> Campaign:
    """What a definition says."""
    audience = given.audience
    source = audience.WhichOneof("source")
    file = audience.file
    return Campaign(
        campaign_id="",
        name=given.name,
        phase=CampaignProto.STATE_DRAFT,
        waba_id=given.waba_id,
        purpose=given.purpose,
        not_after=at(given, "not_after_time"),
        not_after_duration=span(given.not_after_duration),
        hold_out_share=given.hold_out_share,
        variants=[
            Variant(
                name=variant.name,
                template=variant.template_name,
                weight=variant.weight,
                bindings=bindings_of(variant.bindings),
                fallback_languages=list(variant.fallback_languages),
            )
            for variant in given.variants
        ],
        phone_number_ids=list(given.phone_number_ids),
        segment_id=audience.segment.segment_id,
        segment_version=audience.segment.segment_version,
        people=[
            (
                ContactRef(contact_id=one.contact_id)
                if one.contact_id
                else ContactRef(identity=one.identity)
            ).SerializeToString()
            for one in audience.contacts.contacts
        ],
        file=AudienceFile(file.file_id, file.identity_scope, file.country_code)
        if source == "file"
        else None,
        filter=audience.filter,
        triggered=source == "triggered",
        trigger_ids=list(audience.triggered.trigger_ids),
        journey_ids=list(audience.triggered.journey_ids),
        ignores_control=given.ignores_global_control,
        ignores_marketing_endpoint=given.ignores_marketing_endpoint,
        budget_micros=given.budget.amount_micros,
        budget_currency=given.budget.currency_code,
    )


def recipient_proto(message: Message) -> Recipient:
    """One person of a campaign's audience."""
    known = message.state in {State.PLANNED, State.HELD}
    return Recipient(
        contact_id=message.contact_id,
        message=ref_of(message),
        state=MessageProto.State.ValueType(message.state),
        gate=message.gate,
        reason=message.reason,
        error_code=message.error_code,
        retry_time=stamp(message.due_time) if known else None,
        update_time=stamp(updated(message)),
        replied=bool(message.replied_time),
        clicked=bool(message.clicked_time),
        **cost_of(message),
    )


def progress_proto(
    campaign: CampaignProto, final: bool, rows: Sequence[Counts], outlook: Outlook, now: int
) -> CampaignProgress:
    """How far a campaign is."""
    progress = CampaignProgress(
        campaign_id=campaign.campaign_id,
        state=campaign.state,
        state_reason=campaign.state_reason,
        recipients=sum(row.messages for row in rows),
        recipients_final=final,
        sends_per_second=outlook.per_s,
        expected_end_time=stamp(outlook.end_time),
        count_time=stamp(now),
    )
    variants = {v.name: VariantProgress(variant=v.name, weight=v.weight) for v in campaign.variants}
    for row in rows:
        name = State(row.state).name.lower()
        progress.cost_micros += row.cost_micros
        progress.currency_code = max(progress.currency_code, row.currency)
        progress.states[name] += row.messages
        progress.replied += row.replied
        progress.clicked += row.clicked
        if row.state == State.HELD:
            progress.held_gates[row.gate] += row.messages
        elif row.state == State.SUPPRESSED:
            progress.suppressed_gates[row.gate] += row.messages
        elif row.state == State.FAILED:
            progress.failed_codes[row.error_code] += row.messages
        if of_variant := variants.get(row.variant):
            of_variant.recipients += row.messages
            of_variant.states[name] += row.messages
            of_variant.replied += row.replied
            of_variant.clicked += row.clicked
    progress.variants.extend(variants.values())
    return progress
