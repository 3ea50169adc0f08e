"""Why the sender refuses a call: each class is a reason of the contract."""

from chassis.failures import (
    AlreadyExists,
    Busy,
    Conflict,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
)
from expressions import ExpressionError


class ContentInvalid(Invalid):
    """The content breaks a rule of Meta's."""


class ParametersInvalid(Invalid):
    """The parameters do not fit the template."""


class ExpressionInvalid(Invalid):
    """An expression does not parse or check."""

    def __init__(self, field: str, error: ExpressionError) -> None:
        super().__init__(f"{field}: {error}", field=field, **error.facts)


class TemplateLintFailed(Invalid):
    """The template breaks a rule of Meta's."""


class RateCardInvalid(Invalid):
    """A row of a rate card is wrong."""


class RateCardNotFound(NotFound):
    """No such rate card."""


class MessageNotFound(NotFound):
    """No such message."""


class CampaignNotFound(NotFound):
    """No such campaign."""


class TemplateNotFound(NotFound):
    """No such template."""


class NumberNotFound(NotFound):
    """No such business number."""


class ContactNotFound(NotFound):
    """Profile knows no such contact."""


class FileNotFound(NotFound):
    """No such file."""


class MediaNotFound(NotFound):
    """Meta keeps no such attachment."""


class UrlRefused(Invalid):
    """A URL that is not fetched."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field, problem=problem)


class MediaUnsupported(Invalid):
    """A file of a kind or size that Meta does not take."""


class OffsetMismatch(Conflict):
    """Bytes that do not follow what has arrived."""


class FileState(Refused):
    """The file is not complete yet, or complete already."""


class ContactErased(Refused):
    """The person was erased."""


class CampaignState(Refused):
    """The campaign's state does not allow it."""


class TemplateState(Refused):
    """The template cannot be sent, or not be edited, as it stands."""


class TemplateUsed(Refused):
    """A campaign that is not over sends the template."""


class NumberUnusable(Refused):
    """No business number can send this."""


class PlatformRefused(Refused):
    """Meta refused."""


class TemplateExists(AlreadyExists):
    """Meta has a template of this name and language."""


class NumberExists(AlreadyExists):
    """The number is registered with other settings."""


class OutboxFull(Busy):
    """Too much waits already."""


class PlatformBusy(Busy):
    """Meta's limit on management calls."""


class PlatformUnavailable(Unavailable):
    """Meta did not answer."""


class SegmentNotFound(NotFound):
    """Segment knows no such segment."""


class ServiceUnavailable(Unavailable):
    """Another service did not answer."""


class VariantNotFound(NotFound):
    """The campaign has no such variant."""


class FieldFrozen(Refused):
    """The field is frozen once the campaign was launched."""


class PreflightFailed(Refused):
    """Preflight found what must be put right first."""
