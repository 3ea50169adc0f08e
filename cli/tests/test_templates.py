"""`merhaba templates` as somebody of marketing runs it, against a running sender."""

from pathlib import Path
from typing import Any

from cli.tests.running import Ended, ran
from merhaba.sender.v1 import ListTemplatesRequest, Template
from services.sender.tests.conftest import (  # noqa: F401 - fixtures
    TOKEN,
    call_timeout_s,
    migrated,
    pool,
    ready,
    running_limits,
    suite,
    unknown_ms,
)

SAMPLES = Path(__file__).parents[2] / "samples" / "declarations" / "templates.yaml"
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100
OFFER = """\
kind: template
name: firsat
language: tr
waba_id: "{waba_id}"
category: MARKETING
components:
  header:
    format: image
    example_file_id: firsat.png
  body:
    text: {text}
  footer: {{ text: Durdurmak için DUR yazın }}
"""


async def run(sender: Any, *arguments: str) -> Ended:
    """Exit code, output and errors of a command."""
    return await ran(*arguments, SENDER_TARGET=sender.target, API_TOKEN=TOKEN)


def written(folder: Path, text: str) -> str:
    path = folder / "offer.yaml"
    path.write_text(text)
    return str(path)


async def templates(sender: Any) -> dict[str, Template]:
    listed = ListTemplatesRequest(waba_id=sender.waba_id)
    found = await sender.templates.ListTemplates(listed)
    return {one.name: one for one in found.templates}


async def test_the_shipped_templates_pass_the_linter(ready: Any) -> None:  # noqa: F811
    code, output, errors = await run(ready, "templates", "lint", str(SAMPLES))
    assert (code, output, errors) == (0, "3 templates, 0 errors, 0 warnings\n", "")


async def test_findings_are_told_at_their_line_in_either_language(
    ready: Any, tmp_path: Path,  # noqa: F811
) -> None:  # fmt: skip
    file = written(
        tmp_path, OFFER.format(waba_id="1", text='"{{1}} için bu hafta yeni fiyatlar geldi"')
    )
    code, output, _ = await run(ready, "templates", "lint", file)
    assert code == 2
    first, second, last = output.splitlines()
    assert first.startswith(f"{file}:11: template firsat tr 1: error variable_at_edge: A body ")
    assert second.startswith(f"{file}:11: template firsat tr 1: error example_missing: ")
    assert last == "1 templates, 2 errors, 0 warnings"
    _, output, _ = await run(ready, "templates", "lint", file, "--language", "tr")
    assert "Gövde değişkenle başlamaz" in output


async def test_a_file_is_submitted_once_and_then_edited(
    ready: Any, tmp_path: Path,  # noqa: F811
) -> None:  # fmt: skip
    (tmp_path / "firsat.png").write_bytes(PNG)
    whole = OFFER.format(waba_id=ready.waba_id, text="Yaz fiyatları başladı.")
    file = written(tmp_path, whole)
    code, output, errors = await run(ready, "templates", "submit", file, "--yes")
    assert (code, errors) == (0, "")
    assert output.endswith(f"made template firsat tr {ready.waba_id}\n")
    made = (await templates(ready))["firsat"]
    assert made.components.header.example_handle.startswith("4::")
    _, output, _ = await run(ready, "templates", "submit", file)
    assert output == "nothing to do; 1 unchanged\n", "the picture is the one that was uploaded"
    file = written(tmp_path, whole.replace("başladı", "bitti"))
    code, output, errors = await run(ready, "templates", "submit", file, "--yes")
    assert (code, errors) == (0, "")
    assert "components.body.text: Yaz fiyatları başladı. → Yaz fiyatları bitti." in output
    assert (await templates(ready))["firsat"].components.body.text == "Yaz fiyatları bitti."
    file = written(tmp_path, whole.replace("MARKETING", "UTILITY"))
    code, _, errors = await run(ready, "templates", "submit", file, "--yes")
    assert code == 3
    assert "the category of an approved template is fixed" in errors


async def test_what_meta_would_refuse_is_not_submitted(
    ready: Any, tmp_path: Path,  # noqa: F811
) -> None:  # fmt: skip
    file = written(
        tmp_path,
        OFFER.format(waba_id=ready.waba_id, text='"{{1}} için bu hafta yeni fiyatlar geldi"'),
    )
    code, _, errors = await run(ready, "templates", "submit", file, "--yes")
    assert code == 2
    assert f"{file}:11: template firsat tr {ready.waba_id}: variable_at_edge" in errors
    assert "nothing was changed" in errors


CODE = """\
kind: template
name: kod
language: tr
waba_id: "{waba_id}"
category: AUTHENTICATION
components:
  body: {{ security_recommendation: true }}
  footer: {{ code_expiration_duration: 300s }}
  buttons:
    - otp:
        kind: zero_tap
        zero_tap_terms_accepted: true
        apps: [{{ package_name: com.example.shop, signature_hash: K8a/AINcGX7 }}]
"""


async def test_a_template_of_codes_that_stands_is_not_submitted_again(
    ready: Any, tmp_path: Path,  # noqa: F811
) -> None:  # fmt: skip
    file = written(tmp_path, CODE.format(waba_id=ready.waba_id))
    code, _, errors = await run(ready, "templates", "submit", file, "--yes")
    assert (code, errors) == (0, "")
    _, output, _ = await run(ready, "templates", "submit", file)
    assert output == "nothing to do; 1 unchanged\n"


async def test_what_goes_wrong_is_told_and_a_preview_that_cannot_be_sent(
    ready: Any, tmp_path: Path,  # noqa: F811
) -> None:  # fmt: skip
    text = '"Selam {{1}}, bu hafta yeni fiyatlar geldi"'
    file = written(tmp_path, OFFER.format(waba_id=ready.waba_id, text=text))
    code, output, errors = await run(ready, "templates", "preview", file)
    assert code == 0
    assert "Selam {{1}}" in output
    assert "not to be sent like this: unbound_body.1" in errors
    code, _, errors = await run(ready, "templates", "sync", "--account", "404")
    assert code == 2
    assert "Traceback" not in errors
    code, _, errors = await run(ready, "templates", "preview", "welcome", "--account", "404")
    assert code == 2
    assert "there is no template welcome" in errors


async def test_templates_are_listed_and_read_from_meta(ready: Any) -> None:  # noqa: F811
    asked = ("templates", "list", "--account", ready.waba_id)
    _, output, _ = await run(ready, *asked)
    (line,) = [one for one in output.splitlines() if "welcome" in one]
    row = [cell.strip() for cell in line.strip("│").split("│")]
    assert row[:4] == ["welcome", "tr", "approved", "marketing"]
    await ready.control("PUT", f"templates/{row[5]}", {"status": "PAUSED"})
    code, output, errors = await run(ready, "templates", "sync", "--account", ready.waba_id)
    assert output == f"{ready.waba_id}: 0 added, 1 changed, 0 removed, 1 unchanged\n"
    _, output, _ = await run(ready, *asked, "--state", "paused")
    assert "welcome" in output
    assert "order" not in output
    code, _, errors = await run(ready, *asked, "--state", "odd")
    assert code == 2, errors
    assert "--state: odd is none of pending, approved" in errors
