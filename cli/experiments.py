"""`merhaba experiments`: which variant is better, and how sure that is."""

from functools import partial
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from rich.table import Table

from cli.calling import calling, pages
from cli.reports.asking import conversion_id
from cli.terminal import Console, echo
from cli.told import time_told
from merhaba.reports.v1 import (
    CreateExperimentRequest,
    DeclareWinnerRequest,
    Experiment,
    ExperimentReport,
    ExperimentServiceStub,
    GetExperimentReportRequest,
    Guard,
    ListExperimentsRequest,
    Measure,
    PlanExperimentRequest,
    StopExperimentRequest,
    Value,
)

app = typer.Typer(help="Which variant is better.", no_args_is_help=True)
_experiments = partial(calling, "reports", ExperimentServiceStub, "operations")


@app.command("list")
def list_experiments(
    ended: Annotated[bool, typer.Option("--all", help="Ended ones, too.")] = False,
) -> None:
    """Experiments, latest first."""

    async def ask() -> None:
        table = Table(
            "experiment", "campaign", "name", "measure", "kind", "state", "winner", "since"
        )
        request = ListExperimentsRequest(states=[] if ended else [Experiment.STATE_RUNNING])
        async with _experiments() as service:
            async for page in pages(service.ListExperiments, request):
                for one in page.experiments:
                    table.add_row(
                        one.experiment_id,
                        one.campaign_id,
                        one.name,
                        _measure(one.measure),
                        Experiment.Kind.Name(one.kind).removeprefix("KIND_").lower(),
                        _state(one),
                        one.winner_variant,
                        time_told(one.create_time),
                    )
        Console().print(table)

    uvloop.run(ask())


@app.command()
def show(
    experiment: Annotated[str, typer.Argument(help="An experiment's id, or a campaign's.")],
) -> None:
    """What an experiment says now; looking often does no harm."""

    async def ask() -> None:
        async with _experiments() as service:
            if experiment.startswith("exp_"):
                request = GetExperimentReportRequest(experiment_id=experiment)
            else:
                request = GetExperimentReportRequest(campaign_id=experiment)
            _show((await service.GetExperimentReport(request)).report)

    uvloop.run(ask())


@app.command()
def plan(
    measure: Annotated[str, typer.Argument(help="A rate: read_rate, click_rate, …")] = "read_rate",
    effect: Annotated[
        float | None, typer.Option(help="Relative difference to be seen: 0.1 is 10 %.")
    ] = None,
    recipients: Annotated[int | None, typer.Option(help="Recipients there are.")] = None,
    baseline: Annotated[
        float | None, typer.Option(help="The rate today, 0 to 1; else as the last weeks were.")
    ] = None,
    arms: Annotated[int, typer.Option(help="How many variants.")] = 2,
) -> None:
    """How many recipients a question needs, or what can be seen with those there are."""
    if (effect is None) == (recipients is None):
        raise typer.BadParameter("give either --effect or --recipients")

    async def ask() -> None:
        request = PlanExperimentRequest(measure=_number(measure), baseline=baseline, arms=arms)
        if effect is not None:
            request.minimum_effect = effect
        elif recipients is not None:
            request.recipients = recipients
        async with _experiments() as service:
            found = (await service.PlanExperiment(request)).plan
        each = f"{found.total_recipients:,} recipients, {found.recipients_per_arm:,} a variant"
        echo(f"{each}, show a difference of {found.detectable_effect:.1%}")
        if found.expected_days:
            echo(f"{found.expected_days:.1f} days at the pace of the last four weeks")

    uvloop.run(ask())


@app.command()
def begin(
    campaign_id: str,
    measure: Annotated[
        str, typer.Option(help="What is to be better: read_rate, conversion_rate, revenue, …")
    ] = "read_rate",
    name: Annotated[str, typer.Option(help="As people know it.")] = "",
    conversion: Annotated[
        str,
        typer.Option(help="With conversion_rate and revenue: which, by name or id; else orders."),
    ] = "",
    bandit: Annotated[
        bool, typer.Option("--bandit", help="Shares follow what is learned.")
    ] = False,
    automatic: Annotated[
        bool, typer.Option("--automatic", help="A sure winner gets all the weight by itself.")
    ] = False,
    guard: Annotated[
        list[str] | None,
        typer.Option(help="Stop what does harm: opt_out_rate=0.02; may be given again."),
    ] = None,
) -> None:
    """Begin to judge a campaign's variants."""
    kind = Experiment.KIND_BANDIT if bandit else Experiment.KIND_FIXED_SPLIT
    wanted = Experiment(
        campaign_id=campaign_id,
        name=name,
        kind=kind,
        measure=_number(measure),
        automatic_winner=automatic,
        guards=[_guard(one) for one in guard or ()],
    )

    async def ask() -> None:
        wanted.conversion_id = await conversion_id(conversion)
        async with _experiments() as service:
            answer = await service.CreateExperiment(
                CreateExperimentRequest(request_id=str(uuid4()), experiment=wanted)
            )
        echo(f"{answer.experiment.experiment_id} {_state(answer.experiment)}")

    uvloop.run(ask())


@app.command()
def declare(
    experiment_id: str,
    variant: str,
    reason: Annotated[str, typer.Option(help="For those who come later.")] = "",
) -> None:
    """Give a variant all the weight and end the experiment."""

    async def ask() -> None:
        async with _experiments() as service:
            answer = await service.DeclareWinner(
                DeclareWinnerRequest(
                    request_id=str(uuid4()),
                    experiment_id=experiment_id,
                    variant=variant,
                    reason=reason,
                )
            )
        one = answer.experiment
        echo(f"{one.experiment_id} {_state(one)}: {one.winner_variant}")

    uvloop.run(ask())


@app.command()
def stop(
    experiment_id: str,
    reason: Annotated[str, typer.Option(help="For those who come later.")] = "",
) -> None:
    """End an experiment without a winner; the weights stay."""

    async def ask() -> None:
        async with _experiments() as service:
            answer = await service.StopExperiment(
                StopExperimentRequest(experiment_id=experiment_id, reason=reason)
            )
        echo(f"{answer.experiment.experiment_id} {_state(answer.experiment)}")

    uvloop.run(ask())


def _show(report: ExperimentReport) -> None:
    one = report.experiment
    unit = f" in {report.currency_code}" if report.currency_code else ""
    table = Table(
        "variant",
        "recipients",
        "share",
        f"{_measure(one.measure)}{unit}",
        "against the baseline",
        "p",
        "best",
        "loss",
        title=f"{one.name or one.campaign_id}: {_state(one)} {one.winner_variant}".strip(),
    )
    share = one.measure not in (
        Measure.MEASURE_REVENUE,
        Measure.MEASURE_ENGAGEMENT_FREQUENCY,
    )
    for arm in report.arms:
        table.add_row(
            arm.variant,
            f"{arm.recipients:,}",
            f"{arm.weight:.0%}",
            _value(arm.value, share),
            _value(arm.effect, True),
            f"{arm.p_value:.3f}",
            f"{arm.probability_best:.1%}",
            f"{arm.expected_loss:.2%}" if share else f"{arm.expected_loss:.3f}",
        )
    console = Console()
    console.print(table)
    if report.sample_ratio_alarm:
        console.print(
            f"the shares are not what they should be (p = {report.sample_ratio_p_value:.2g}):"
            " trust nothing here until it is known why",
            style="red",
        )
    if report.waiting_recipients:
        console.print(f"{report.waiting_recipients:,} recipients are too young to count yet")
    if report.detectable_effect:
        console.print(f"a difference of {report.detectable_effect:.1%} would be seen by now")
    if report.needed_recipients:
        console.print(f"the least worth knowing needs {report.needed_recipients:,} recipients")
    if report.HasField("lift"):
        console.print(f"against those held out: {_value(report.lift, True) or 'too early to say'}")
    for guard in report.guards:
        if guard.breached:
            worse = _value(guard.value, True)
            console.print(
                f"{guard.variant} does harm: {_measure(guard.guard.measure)} {worse}",
                style="red",
            )


def _value(found: Value, share: bool) -> str:
    if not found.HasField("value"):
        return ""
    form = "{:.1%}" if share else "{:.3f}"
    told_value = form.format(found.value)
    if not found.HasField("lower"):
        return told_value
    return f"{told_value} ({form.format(found.lower)} to {form.format(found.upper)})"


def _measure(number: int) -> str:
    names: dict[int, str] = {v: k for k, v in Measure.items()}
    return names.get(number, str(number)).removeprefix("MEASURE_").lower()


def _number(measure: str) -> "Measure.ValueType":
    try:
        return Measure.Value(f"MEASURE_{measure.upper()}")
    except ValueError:
        raise typer.BadParameter(f"{measure}: no measure; write read_rate, click_rate, …") from None


def _guard(told_guard: str) -> Guard:
    measure, _, limit = told_guard.partition("=")
    try:
        return Guard(measure=_number(measure), maximum=float(limit))
    except ValueError:
        raise typer.BadParameter(f"{told_guard}: no guard; write opt_out_rate=0.02") from None


def _state(one: Experiment) -> str:
    return Experiment.State.Name(one.state).removeprefix("STATE_").lower()
