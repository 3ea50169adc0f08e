"""What can be wrong with what is asked of reports. Each class is a reason of the contract."""

from datetime import datetime, timedelta

from chassis.failures import AlreadyExists, Busy, Invalid, NotFound, Refused, Unavailable
from expressions import ExpressionError


class ExperimentNotFound(NotFound):
    """There is no such experiment."""


class AlertRuleNotFound(NotFound):
    """There is no such rule."""

    def __init__(self, alert_rule_id: str) -> None:
        super().__init__("there is no such rule; list them first", alert_rule_id=alert_rule_id)


class AlertNotFound(NotFound):
    """There is no such alert."""

    def __init__(self, alert_id: str) -> None:
        super().__init__("there is no such alert; list them first", alert_id=alert_id)


class ExportNotFound(NotFound):
    """There is no such export."""

    def __init__(self, export_id: str) -> None:
        super().__init__("there is no such export; list them first", export_id=export_id)


class ScheduleNotFound(NotFound):
    """There is no such schedule."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__("there is no such schedule; list them first", schedule_id=schedule_id)


class ConversionNotFound(NotFound):
    """There is no such definition."""

    def __init__(self, conversion_id: str) -> None:
        super().__init__(
            "there is no such conversion; list them first", conversion_id=conversion_id
        )


class VariantNotFound(NotFound):
    """The campaign has no such variant."""

    def __init__(self, variant: str, known: list[str]) -> None:
        super().__init__(
            f"no variant {variant}; there are {', '.join(known) or 'none'}", variant=variant
        )


class ExpressionInvalid(Invalid):
    """An expression does not parse or check."""

    def __init__(self, field: str, error: ExpressionError) -> None:
        super().__init__(f"{field}: {error}", field=field, **error.facts)


class UrlRefused(Invalid):
    """An address is not called."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field, problem=problem)


class ExperimentState(Refused):
    """The experiment is over."""

    def __init__(self, experiment_id: str, state: str) -> None:
        super().__init__(
            f"the experiment is {state}; only one that runs can be changed",
            experiment_id=experiment_id,
            state=state,
        )


class ExportState(Refused):
    """The export is not complete, or over."""

    def __init__(self, export_id: str, state: str) -> None:
        super().__init__(f"the export is {state}", export_id=export_id, state=state)


class DataInsufficient(Refused):
    """There is too little to compute it from."""

    def __init__(self, problem: str, needed: int, available: int) -> None:
        super().__init__(
            f"{problem}: {available} of {needed}; ask again when more is known",
            problem=problem,
            needed=str(needed),
            available=str(available),
        )


class DestinationUnusable(Refused):
    """The named secret or destination is not configured."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"{field}: not configured; see the settings WEBHOOK_SECRETS, EXPORT_CREDENTIALS and"
            " EXPORT_FOLDER of reports",
            field=field,
        )


class ExperimentExists(AlreadyExists):
    """The campaign has an experiment."""

    def __init__(self, campaign_id: str, experiment_id: str) -> None:
        super().__init__(
            "the campaign has an experiment; look at that one",
            campaign_id=campaign_id,
            experiment_id=experiment_id,
        )


class ServiceUnavailable(Unavailable):
    """Another service did not answer."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} does not answer; ask again soon", service=service)


class CursorExpired(Refused):
    """What follows the cursor is no longer held."""

    def __init__(self, oldest: datetime) -> None:
        super().__init__(
            "what follows the cursor is no longer held; begin anew, without one",
            oldest_time=oldest.isoformat(),
        )


class ContactNotFound(NotFound):
    """Nothing is known of this contact."""

    def __init__(self, contact_id: str) -> None:
        super().__init__("nothing is known of this contact; look at the id", contact_id=contact_id)


class PlatformRefused(Refused):
    """Meta refused."""

    def __init__(self, code: int, title: str, details: str) -> None:
        super().__init__(
            f"Meta refused with {code}: {title}", code=str(code), title=title, details=details
        )


class PlatformUnavailable(Unavailable):
    """Meta did not answer."""

    def __init__(self, operation: str) -> None:
        super().__init__("Meta does not answer; ask again soon", operation=operation)


class QueriesBusy(Busy):
    """As many questions are being answered as may be at once."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "too many questions at once; ask again", timedelta(seconds=1), limit=str(limit)
        )


class ExportsBusy(Busy):
    """As many exports wait or run as may at once."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "too many exports wait; begin it again soon",
            timedelta(seconds=30),
            limit=str(limit),
        )


class QueryUnsupported(Invalid):
    """The measure cannot be taken by this dimension."""

    def __init__(self, problem: str, measure: str = "", dimension: str = "") -> None:
        super().__init__(problem, measure=measure, dimension=dimension)
