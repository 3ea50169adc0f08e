"""The rules of the code base that a machine can keep."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"
PACKAGES = ("bench", "chassis", "cli", "expressions", "services", "simulator", "tools")
SCHEMAS = ("ingest", "profile", "segment", "sender", "reports", "chatbot")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


def repository_files() -> list[Path]:
    """Everything that is in the repository or would be with the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        missing = f"{ROOT} is no git checkout: its files cannot be listed"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(file: Path) -> str:
    return file.read_bytes().decode("utf-8", errors="replace")


def test_imports_follow_the_rules():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_notices_when_it_is_broken(tmp_path):
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("tests", "__pycache__", "node_modules")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    offences = {
        "services/first/model.py": "import asyncpg",
        "services/first/app.py": "import services.second",
        "services/second/app.py": "import simulator",
        "chassis/offence.py": "import merhaba.event.v1",
        "expressions/offence.py": "import chassis.clock",
    }
    for path, line in offences.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).parent.joinpath("__init__.py").touch()
        (tmp_path / path).write_text(f"{line}\n")
    done = lint_imports(tmp_path)
    for chain in (
        "services.first.model -> asyncpg",
        "services.first.app -> services.second",
        "services.second.app -> simulator",
        "chassis.offence -> merhaba",
        "expressions.offence -> chassis.clock",
    ):
        assert chain in done.stdout, done.stdout + done.stderr


def test_the_expression_language_needs_a_cel_parser_and_nothing_else():
    graph = grimp.build_graph("expressions", include_external_packages=True, cache_dir=None)
    outside = {name for name in graph.modules if not name.startswith("expressions")}
    assert outside - sys.stdlib_module_names <= {"celpy", "lark", "msgspec", "re2"}


@pytest.mark.parametrize("service", SCHEMAS)
def test_no_service_names_the_tables_of_another(service):
    others = "|".join(schema for schema in SCHEMAS if schema != service)
    named = re.compile(rf"\b(from|join|into|update|table|references|on)\s+({others})\.\w", re.I)
    for file in (ROOT / "services" / service).rglob("*"):
        if file.suffix in {".py", ".sql"}:
            # An import of generated or own code is no SQL.
            lines = (
                line
                for line in text_of(file).splitlines()
                if not line.lstrip().startswith(("from ", "import "))
            )
            found = [line for line in lines if named.search(line)]
            assert not found, f"{file.relative_to(ROOT)}: {found}"


def test_no_file_names_a_path_of_one_machine_or_a_package_index():
    forbidden = re.compile(
        r"/(?:[h]ome|[U]sers)/\w+/|(?<![\w.-])/(?:[r]oot|[w]ork)/"  # somebody's machine
        r"|[p]ypi\.org|[p]ythonhosted\.org|[n]pmjs\.org|[p]roxy\.golang\.org"
        r"|(?<!no-emit)-[i]ndex-url|[f]ind-links"
    )
    here = str(ROOT) if len(ROOT.parts) > 2 else None
    for file in repository_files():
        for number, line in enumerate(text_of(file).splitlines(), start=1):
            place = f"{file.relative_to(ROOT)}:{number}"
            assert not forbidden.search(line), place
            assert here is None or here not in line, place


def test_no_generated_code_is_checked_in():
    stamp = "NO CHECKED-IN " + "PROTOBUF GENCODE"
    for file in repository_files():
        name = str(file.relative_to(ROOT))
        assert not name.startswith("gen/"), name
        assert not re.search(r"_pb2(_grpc)?\.pyi?$", name), name
        assert file.suffix != ".py" or stamp not in text_of(file), name
