"""`merhaba report funnel` and `ads`: how people came, and how far."""

from rich.table import Table

from cli.reports import asking, words
from merhaba.reports.v1 import (
    Dimension,
    GetFunnelRequest,
    GetFunnelResponse,
    Measure,
    Period,
    Query,
    QueryRequest,
    QueryResponse,
)

_BY_AD = (
    *(Measure.MEASURE_AD_ARRIVALS, Measure.MEASURE_CONVERTED),
    Measure.MEASURE_CONVERSION_RATE,
)


async def funnel(
    period: Period, where: list[str], conversion: str
) -> tuple[Table, GetFunnelResponse]:
    """How many people came from step to step."""
    async with asking.reports() as service:
        found = await service.GetFunnel(
            GetFunnelRequest(
                period=period,
                filters=asking.filters(where),
                conversion_id=await asking.conversion_id(conversion),
            )
        )
    table = Table("step", "people", "of the step before", "of the first")
    for step in found.steps:
        shares = (step.step_rate, step.overall_rate)
        table.add_row(
            words.name_of(Measure, step.measure),
            f"{step.contacts:,}",
            *(f"{one.value:.1%}" if one.HasField("value") else "-" for one in shares),
        )
    return table, found


async def ads(
    period: Period, where: list[str], conversion: str, most: int
) -> tuple[list[Table], QueryResponse]:
    """How many people came by each click-to-WhatsApp ad, and what they did then."""
    query = Query(
        measures=_BY_AD,
        dimensions=[Dimension.DIMENSION_AD],
        filters=asking.filters(where),
        period=period,
        order_measure=Measure.MEASURE_AD_ARRIVALS,
        conversion_ids=[await asking.conversion_id(conversion)] if conversion else [],
    )
    worth = Query()
    worth.CopyFrom(query)
    worth.measures[:] = [Measure.MEASURE_REVENUE]
    worth.order_measure = Measure.MEASURE_REVENUE
    async with asking.reports() as service:
        came = await service.Query(QueryRequest(query=query, page_size=most))
        brought = await service.Query(QueryRequest(query=worth, page_size=most))
    tables = [words.rows(came.rows, ["ad"], _BY_AD)]
    if brought.rows:
        tables.append(words.rows(brought.rows, ["ad"], worth.measures))
    return tables, came
