"""Write reference pages from the code's own declarations; `--check` compares.

`docs/operate/settings.md`: each setting is an environment variable; what it means stands where it
is declared. `docs/operate/telemetry.md`: metrics and spans by their registered names.
"""

import importlib
import re
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from chassis import names
from chassis import settings as chassis_settings
from chassis.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "operate"
SERVICES = ("ingest", "profile", "segment", "sender", "reports")
SETTINGS = """# Settings

Environment variables, read once when a process starts; a missing or wrong one ends it with the
variable's name and never its value. *secret*: give it by a Secret (`deploy/k8s/README.md` lists
them), never by a ConfigMap. Made by `tools/references.py` from the code.
"""


def settings_of(service: str) -> list[type[Settings]]:
    """The classes of settings that a service declares."""
    config = importlib.import_module(f"services.{service}.config")
    return [
        value
        for value in vars(config).values()
        if isinstance(value, type)
        and issubclass(value, Settings)
        and value.__module__ == config.__name__
    ]


def own_fields(kind: type[Settings]) -> dict[str, FieldInfo]:
    """Settings that a class declares itself, by name."""
    return {
        name: kind.model_fields[name] for name in kind.__annotations__ if name in kind.model_fields
    }


def row(name: str, field: FieldInfo) -> str:
    """A setting as a row of a table."""
    kind: Any = field.annotation
    secret = SecretStr in (kind, *get_args(kind))
    if field.is_required():
        default = "**must be set**"
    elif name == "instance":
        default = "the host's name"
    elif secret or field.default in ("", None):
        default = ""
    else:
        default = f"`{field.default}`"
    bounds = [
        f"{sign} {getattr(rule, part)}"
        for rule in field.metadata
        for part, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if hasattr(rule, part)
    ]
    told = re.sub(r"\s+", " ", field.description or "").strip().replace("|", "\\|")
    called = f"`{name.upper()}`" + (" *secret*" if secret else "")
    return f"| {called} | {default} | {', '.join(bounds)} | {told} |"


def settings_page() -> str:
    """Every setting."""
    shared = [
        value
        for value in vars(chassis_settings).values()
        if isinstance(value, type) and issubclass(value, Settings) and value is not Settings
    ]
    parts = [SETTINGS]
    titles = {
        "LogSettings": "The event log: every service, the same values",
        "ServiceSettings": "Every service",
        "HttpSettings": "Services with an HTTP door: ingest and reports",
    }
    sections = [(titles.get(kind.__name__, kind.__name__), [kind]) for kind in shared]
    sections += [(service, settings_of(service)) for service in SERVICES]
    for title, kinds in sections:
        fields = {name: field for kind in kinds for name, field in own_fields(kind).items()}
        parts.append(
            f"\n## {title}\n\n| variable | default | bounds | meaning |\n|---|---|---|---|"
        )
        parts += [row(name, field) for name, field in fields.items()]
    return "\n".join(parts) + "\n"


TELEMETRY = """# Telemetry

Traces go out by OTLP (`OTEL_EXPORTER_OTLP_ENDPOINT`), `TRACE_SAMPLE_RATIO` of them; a span that
fails is kept whether its trace was chosen or not. Metrics are read by Prometheus at
`METRICS_PORT`, where dots become underscores, the unit is added (`_seconds`, `_bytes`) and
counters end in `_total`; without a port they go out by OTLP as well. Logs are JSON on standard
error, one object a line, with the `trace_id` and `span_id` they belong to. Nothing personal is
in any of them: ids only, and a test looks for what should not be there. `merhaba trace` shows a
message's way without any of this. Names follow OpenTelemetry's conventions for RPC (release
candidate 1.44) and messaging (in development), and stand in `chassis/names.py`. Made by
`tools/references.py` from it.
"""


def telemetry_page() -> str:
    """Every metric, span and attribute."""
    parts = [TELEMETRY, "\n## Metrics\n\n| name | unit | what it is |\n|---|---|---|"]
    parts += [f"| `{name}` | {unit} | {says} |" for name, (unit, says) in names.METRICS.items()]
    parts.append("\n## Spans\n\n| name |\n|---|")
    parts += [f"| {name} |" for name in get_args(names.Span)]
    parts.append("\n## Attributes\n\n| name |\n|---|")
    parts += [
        f"| `{value}` |"
        for name, value in vars(names).items()
        if name.isupper() and isinstance(value, str)
    ]
    return "\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Every page that is made here, by its path."""
    return {
        FOLDER / "settings.md": settings_page(),
        FOLDER / "telemetry.md": telemetry_page(),
    }


def main() -> None:
    """Write, or with `--check` compare."""
    for path, text in pages().items():
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"references: {path.name} differs; run tools/references.py")


if __name__ == "__main__":
    main()
