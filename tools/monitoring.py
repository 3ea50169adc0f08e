"""Make what Prometheus and Grafana read from what is defined once: objectives and dashboards.

`python tools/monitoring.py` writes them into the component `monitoring`; `--check` ends with 1 when
what is there differs.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "k8s" / "components" / "monitoring"

# --- objectives -----------------------------------------------------------------------------------

NOT_OURS = "broken|wrong_signature|encoded|too_large|too_slow|verify_refused|item_.+"
"""Outcomes of webhooks that are their sender's fault, or no webhooks."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise over thirty days: of all that count, so many are good."""

    name: str
    says: str
    target: float
    bad: str
    """Rate of what is not good, over `[w]`: the window stands there."""
    all: str


OBJECTIVES = (
    Objective(
        "webhooks_accepted",
        "Of whole webhooks with the right signature, 99.9 % are accepted. Meta repeats what is"
        " refused for days, so a refused one is late and not lost.",
        0.999,
        f'sum(rate(merhaba_webhook_requests_total{{merhaba_outcome!~"accepted|{NOT_OURS}"}}[w]))',
        f'sum(rate(merhaba_webhook_requests_total{{merhaba_outcome!~"{NOT_OURS}"}}[w]))',
    ),
    Objective(
        "webhooks_fast",
        "99 % of accepted webhooks are answered, durable, within 250 ms.",
        0.99,
        "sum(rate(merhaba_webhook_duration_seconds_count[w]))"
        ' - sum(rate(merhaba_webhook_duration_seconds_bucket{le="0.25"}[w]))',
        "sum(rate(merhaba_webhook_duration_seconds_count[w]))",
    ),
    Objective(
        "signals_fast",
        "99 % of what happens is known to the segments within one second of its acceptance.",
        0.99,
        'sum(rate(merhaba_event_age_seconds_count{job="segment"}[w]))'
        ' - sum(rate(merhaba_event_age_seconds_bucket{job="segment",le="1.0"}[w]))',
        'sum(rate(merhaba_event_age_seconds_count{job="segment"}[w]))',
    ),
)

# Long and short window, how many times too fast the budget is spent, severity: two per cent of a
# month's budget in an hour, five in six hours, ten in three days (Google's Site Reliability
# Workbook, chapter 5).
BURNS = (
    ("1h", "5m", 14.4, "page"),
    ("6h", "30m", 6.0, "page"),
    ("3d", "6h", 1.0, "ticket"),
)


def objectives() -> str:
    """The rules of all objectives, as a PrometheusRule."""
    windows = sorted(
        {w for burn in BURNS for w in burn[:2]},
        key=lambda w: (w[-1] == "d", w[-1] == "h", int(w[:-1])),
    )
    groups = []
    for objective in OBJECTIVES:
        ratio = f"merhaba:{objective.name}:bad_ratio"
        burns = [(long, short, n * (1 - objective.target), of) for long, short, n, of in BURNS]
        recorded: list[dict[str, Any]] = [
            {
                "record": f"{ratio}_{window}",
                "expr": f"({objective.bad}) / ({objective.all})".replace("[w]", f"[{window}]"),
            }
            for window in windows
        ]
        alerts: list[dict[str, Any]] = []
        for severity in ("page", "ticket"):
            terms = [
                f"({ratio}_{long} > {most:.4g} and {ratio}_{short} > {most:.4g})"
                for long, short, most, of in burns
                if of == severity
            ]
            called = "".join(word.capitalize() for word in objective.name.split("_"))
            alerts.append(
                {
                    "alert": f"{called}BudgetBurns{'Fast' if severity == 'page' else ''}",
                    "expr": " or ".join(terms),
                    "for": "2m" if severity == "page" else "30m",
                    "labels": {"severity": severity},
                    "annotations": {
                        "summary": "{{ $value | humanizePercentage }} miss the objective: "
                        + objective.says
                    },
                }
            )
        groups.append({"name": f"merhaba-slo-{objective.name}", "rules": recorded + alerts})
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "slos"},
        "spec": {"groups": groups},
    }
    heading = (
        "# Made by tools/monitoring.py, which says what the objectives are; change them there.\n"
    )
    return heading + yaml.safe_dump(rule, sort_keys=False, width=10_000, allow_unicode=True)


# --- dashboards -----------------------------------------------------------------------------------

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def drawn(name: str, of: dict[str, Any]) -> str:
    """A dashboard as Grafana's JSON."""
    board = (
        Dashboard(of["title"])
        .uid(f"merhaba-{name}")
        .tags(["merhaba"])
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for heading, panels in of["rows"].items():
        board = board.with_row(Row(heading))
        for panel in panels:
            graph = (
                timeseries.Panel()
                .title(panel["title"])
                .description(panel.get("says", ""))
                .unit(panel["unit"])
                .min(0)
                .span(8)
                .height(8)
                .datasource(SOURCE)
            )
            for legend, query in panel["queries"].items():
                graph = graph.with_target(prometheus.Dataquery().expr(query).legend_format(legend))
            board = board.with_panel(graph)
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def made() -> dict[Path, str]:
    """Every file that is made here, by its path."""
    shown = yaml.safe_load((FOLDER / "dashboards.yaml").read_text())
    boards = {FOLDER / "dashboards" / f"{name}.json": drawn(name, of) for name, of in shown.items()}
    return {FOLDER / "slos.yaml": objectives(), **boards}


def main() -> None:
    """Write, or with `--check` compare."""
    files = made()
    if "--check" in sys.argv[1:]:
        differ = [p.name for p, text in files.items() if not p.exists() or p.read_text() != text]
        if differ:
            sys.exit(f"monitoring: {', '.join(differ)} differ; run tools/monitoring.py")
        return
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
