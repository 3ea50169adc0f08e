"""A question, checked: which sums, cut how. Pure but for the words of the contract."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.failures import FieldInvalid
from merhaba.reports.v1 import Attribution, Dimension, Filter, Grain, Measure, Query
from services.reports.answers.measures import ADS, BASE, PEOPLE, SALES, Column, Made, made
from services.reports.failures import QueryUnsupported
from services.reports.model import ORDERS, Period

MOST_ROWS: Final = 100_000
_MOST_DIMENSIONS: Final = 4
_MOST_VALUES: Final = 1_000

D = Dimension
COLUMNS: Final[dict[int, str]] = {
    D.DIMENSION_CAMPAIGN: "campaign_id",
    D.DIMENSION_TRIGGER: "trigger_id",
    D.DIMENSION_JOURNEY: "journey_id",
    D.DIMENSION_JOURNEY_STEP: "journey_step",
    D.DIMENSION_TEMPLATE: "template",
    D.DIMENSION_VARIANT: "variant",
    D.DIMENSION_LANGUAGE: "language",
    D.DIMENSION_MARKET: "market",
    D.DIMENSION_NUMBER: "phone_number_id",
    D.DIMENSION_SEGMENT: "segment_id",
    D.DIMENSION_STAGE: "stage",
    D.DIMENSION_SEND_HOUR: "send_hour",
    D.DIMENSION_SEND_WEEKDAY: "send_weekday",
    D.DIMENSION_CATEGORY: "category",
    D.DIMENSION_DEVICE: "device",
    D.DIMENSION_GATE: "gate",
    D.DIMENSION_ERROR_CODE: "error_code",
    D.DIMENSION_PRICING_TYPE: "pricing_type",
}
CREDITED: Final[dict[int, str]] = {
    D.DIMENSION_CONVERSION: "conversion_id",
    D.DIMENSION_AD: "ad_id",
}
"""Dimensions of conversions, not of messages."""
_OF_ADS: Final = frozenset(
    {"ad_id", "conversion_id", "phone_number_id", "send_hour", "send_weekday"}
)
GRAINS: Final[dict[int, str]] = {
    Grain.GRAIN_UNSPECIFIED: "",
    Grain.GRAIN_HOUR: "hour",
    Grain.GRAIN_DAY: "day",
    Grain.GRAIN_WEEK: "week",
    Grain.GRAIN_MONTH: "month",
}
_OF_SEGMENTS: Final = frozenset({"segment_id", "campaign_id", "send_hour", "send_weekday"})


class Where(NamedTuple):
    """Only messages with one of these values in a column, or with none of them."""

    column: str
    values: tuple[str, ...]
    exclude: bool


class Question(NamedTuple):
    """Which sums, of which messages, cut how."""

    measures: tuple[tuple[int, Made], ...]
    dimensions: tuple[tuple[int, str], ...]
    filters: tuple[Where, ...]
    period: Period
    grain: str
    previous: bool
    contact_zone: bool = False
    """Hours and weekdays in each contact's own zone, where it is known."""
    most: tuple[Column, int] | None = None
    """Only rows with the largest sums of a column, so many."""
    conversions: tuple[str, ...] | None = None
    """What counts as a conversion where that is not orders alone; (): all there is."""
    ads: bool = False
    """Conversions are those of ads, not of messages."""

    @property
    def columns(self) -> frozenset[Column]:
        """The sums that are needed."""
        return frozenset(column for _, made in self.measures for column in made.columns)

    @property
    def in_currency(self) -> bool:
        """Rows are told apart by currency."""
        return any(made.in_currency for _, made in self.measures)

    @property
    def named(self) -> frozenset[str]:
        """The columns by which it is cut or filtered."""
        return frozenset({column for _, column in self.dimensions}).union(
            one.column for one in self.filters
        )

    @property
    def of_segments(self) -> bool:
        """Messages count in each segment of their contact."""
        return "segment_id" in self.named

    @property
    def by_hour(self) -> bool:
        """Sums of days do not tell it."""
        return self.grain == "hour" or "send_hour" in self.named or self.contact_zone

    @property
    def seconds(self) -> float:
        """How long the period is."""
        return (self.period.end - self.period.start).total_seconds()

    def before(self) -> "Question":
        """The same of the period of the same length before."""
        return self._replace(period=self.period.before(), previous=False)


def question(query: Query, period: Period) -> Question:
    """Check a query. Raises `FieldInvalid` and `QueryUnsupported`."""
    if not query.measures:
        raise FieldInvalid("query.measures", "missing; name at least one measure")
    if len(query.dimensions) > _MOST_DIMENSIONS:
        raise FieldInvalid("query.dimensions", "too many", limit=str(_MOST_DIMENSIONS))
    if len(set(query.dimensions)) < len(query.dimensions):
        raise FieldInvalid("query.dimensions", "repeated; each may stand once")
    if query.grain not in GRAINS:
        raise FieldInvalid("query.grain", "unknown; give HOUR, DAY, WEEK or MONTH, or none")
    dimensions = tuple(
        (d, CREDITED.get(d) or column(d, f"query.dimensions[{n}]"))
        for n, d in enumerate(query.dimensions)
    )
    attribution = _attribution(query)
    ads = attribution == Attribution.ATTRIBUTION_FIRST_TOUCH_AD
    asked = Question(
        tuple((m, _made(m, attribution, n)) for n, m in enumerate(query.measures)),
        dimensions,
        filters(query.filters, "query.filters", ads=ads),
        period,
        GRAINS[query.grain],
        query.compare_previous,
        conversions=_conversions(query, ads),
        ads=ads,
    )
    _supported(asked)
    return asked


def _attribution(query: Query) -> int:
    """Whose conversions are asked for; those of ads, where a query names them."""
    named = D.DIMENSION_AD in query.dimensions or Measure.MEASURE_AD_ARRIVALS in query.measures
    if named and query.attribution == Attribution.ATTRIBUTION_UNSPECIFIED:
        return Attribution.ATTRIBUTION_FIRST_TOUCH_AD
    return query.attribution


def _conversions(query: Query, ads: bool) -> tuple[str, ...] | None:
    if len(query.conversion_ids) > _MOST_VALUES:
        raise FieldInvalid("query.conversion_ids", "too many", limit=str(_MOST_VALUES))
    wanted = tuple(dict.fromkeys(one for one in query.conversion_ids if one))
    if wanted or D.DIMENSION_CONVERSION in query.dimensions:
        plain = wanted == (ORDERS,) and D.DIMENSION_CONVERSION not in query.dimensions
        return None if plain and not ads else wanted
    return (ORDERS,) if ads else None


def column(dimension: int, path: str) -> str:
    """The column of a dimension. Raises `FieldInvalid` and `QueryUnsupported`."""
    if dimension == D.DIMENSION_UNSPECIFIED:
        raise FieldInvalid(path, "missing; name a dimension")
    if dimension not in COLUMNS:
        raise QueryUnsupported(
            f"{path}: messages are not chosen by this; name conversions in conversion_ids, and"
            " ads in a query by AD",
            measure="",
            dimension=_name(Dimension, dimension),
        )
    return COLUMNS[dimension]


def filters(
    asked: Sequence[Filter], path: str = "filters", *, ads: bool = False
) -> tuple[Where, ...]:
    """Check filters; `ads`: ads can be chosen. Raises `FieldInvalid` and `QueryUnsupported`."""
    for n, one in enumerate(asked):
        if len(one.values) > _MOST_VALUES:
            raise FieldInvalid(f"{path}[{n}].values", "too many values", limit=str(_MOST_VALUES))
    return tuple(
        Where(
            "ad_id"
            if ads and one.dimension == D.DIMENSION_AD
            else column(one.dimension, f"{path}[{n}].dimension"),
            tuple(one.values),
            one.exclude,
        )
        for n, one in enumerate(asked)
    )


def stretch(asked: Question) -> float:
    """Seconds of a row: of its grain (a mean month), or of the whole period."""
    lengths = {"hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_629_746}
    return lengths.get(asked.grain, asked.seconds)


def _made(measure: int, attribution: int, place: int) -> Made:
    if attribution not in (
        Attribution.ATTRIBUTION_UNSPECIFIED,
        Attribution.ATTRIBUTION_LAST_TOUCH,
        Attribution.ATTRIBUTION_ANY_TOUCH,
        Attribution.ATTRIBUTION_FIRST_TOUCH_AD,
    ):
        raise QueryUnsupported(
            "query.attribution: queries tell last touch, any touch and first touch of ads; a"
            " campaign's report tells the lift over its hold-out",
            measure=_name(Measure, measure),
            dimension="",
        )
    found = made(measure, attribution)
    if found is None and attribution == Attribution.ATTRIBUTION_FIRST_TOUCH_AD:
        raise QueryUnsupported(
            f"query.measures[{place}]: of ads are told AD_ARRIVALS, CONVERTED, REVENUE and"
            " CONVERSION_RATE; ask for messages separately",
            measure=_name(Measure, measure),
        )
    if found is None:
        raise QueryUnsupported(
            f"query.measures[{place}]: sums of messages do not tell it; see GetOverview",
            measure=_name(Measure, measure),
            dimension="",
        )
    return found


def _supported(asked: Question) -> None:
    named = {name: number for number, name in asked.dimensions}
    columns = named.keys() | {one.column for one in asked.filters}
    for measure, one in asked.measures:
        if asked.ads:
            if odd := columns - _OF_ADS:
                raise QueryUnsupported(
                    "nothing is known of ads by this dimension; ask by AD, NUMBER, SEND_HOUR or"
                    " SEND_WEEKDAY",
                    measure=_name(Measure, measure),
                    dimension=_dimension(min(odd)),
                )
            if one.part in ADS and "conversion_id" in columns:
                raise _of_messages(measure, "conversion_id")
            continue
        if "ad_id" in columns:
            raise _of_messages(measure, "ad_id")
        if "conversion_id" in columns and not SALES & set(one.columns):
            raise _of_messages(measure, "conversion_id")
        if one.part in BASE:
            if odd := columns - BASE[one.part]:
                raise QueryUnsupported(
                    "nothing is known of it by this dimension; leave it out, or ask separately",
                    measure=_name(Measure, measure),
                    dimension=_dimension(min(odd)),
                )
            continue
        people = PEOPLE & set(one.columns)
        odd = columns - _OF_SEGMENTS - {"conversion_id"} if asked.of_segments else set()
        if people:
            odd |= columns & {"segment_id"}
        if odd:
            raise QueryUnsupported(
                "a message counts in each segment of its contact: segments go with campaigns, hours"
                " and weekdays only, and people are not counted by them",
                measure=_name(Measure, measure),
                dimension=_dimension(min(odd)),
            )


def _of_messages(measure: int, column: str) -> QueryUnsupported:
    return QueryUnsupported(
        "by CONVERSION and AD only conversions, their value and rate are told; ask separately",
        measure=_name(Measure, measure),
        dimension=_dimension(column),
    )


def refused(problem: str, column: str) -> QueryUnsupported:
    """That something cannot be told by a column."""
    return QueryUnsupported(problem, dimension=_dimension(column))


def _dimension(column: str) -> str:
    known = COLUMNS | CREDITED
    return _name(Dimension, next(d for d, name in known.items() if name == column))


def _name(enum: object, number: int) -> str:
    names: dict[int, str] = {v: k for k, v in enum.items()}  # type: ignore[attr-defined]  # an enum wrapper
    return names.get(number, str(number))
