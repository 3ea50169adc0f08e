"""Migrations add to what running code uses, or say why they may do more."""

import pytest

from tools.lint_migrations import ROOT, findings, migrations

HEAD = "-- What it is for.\n\n-- depends: 0001_first\n"


@pytest.mark.parametrize("file", migrations(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_migration_only_adds_or_says_why_it_may_do_more(file) -> None:
    assert list(findings(file.read_text())) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE people",
        "DROP TABLE IF EXISTS people CASCADE",
        "drop index people_by_name",
        "DROP FUNCTION counted",
        "DROP TRIGGER counted ON people",
        "TRUNCATE people",
        "ALTER TABLE people DROP COLUMN name",
        "ALTER TABLE people DROP name",
        "ALTER TABLE people DROP COLUMN IF EXISTS name",
        "ALTER TABLE people DROP CONSTRAINT people_pkey",
        "ALTER TABLE people ADD COLUMN size int,\n  DROP COLUMN name",
        "ALTER TABLE people RENAME TO persons",
        "ALTER TABLE people RENAME COLUMN name TO title",
        "ALTER INDEX people_by_name RENAME TO people_by_title",
        "ALTER TYPE colour RENAME VALUE 'red' TO 'pink'",
        "ALTER TABLE people ALTER COLUMN size TYPE smallint",
        "ALTER TABLE people ALTER size SET DATA TYPE text USING size::text",
        "ALTER TABLE people ALTER COLUMN name SET NOT NULL",
        "ALTER TABLE people ALTER COLUMN name DROP DEFAULT",
        "ALTER TABLE people ADD COLUMN name text NOT NULL",
        "ALTER TABLE people ADD COLUMN size numeric(10, 2) NOT NULL, ADD COLUMN name text",
        "ALTER TABLE people ADD COLUMN tall boolean GENERATED ALWAYS AS (size > 2) STORED",
        "ALTER TABLE people ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE people ADD CONSTRAINT small CHECK (size < 3)",
        "ALTER TABLE people ADD UNIQUE (name)",
        "CREATE INDEX people_by_name ON people (name)",
        "CREATE INDEX people_by_name ON people USING gin (names)",
        "CREATE UNIQUE INDEX people_by_name ON people (name)",
        "CREATE UNIQUE INDEX CONCURRENTLY people_by_name ON people (name)",
        "CREATE INDEX CONCURRENTLY people_by_name ON people (name)",
        "DROP INDEX CONCURRENTLY IF EXISTS people_by_name",
    ],
)
def test_what_the_version_before_cannot_bear_is_refused(statement: str) -> None:
    assert len(list(findings(f"{HEAD}{statement};\n"))) == 1
    said = f"{HEAD}-- contract: nobody has read it for two versions\n{statement};\n"
    assert list(findings(said)) == []
    beside = f"{HEAD}SELECT 1;\n-- contract: nobody has read it for two versions\n{statement};\n"
    assert list(findings(beside)) == []
    other = f"{HEAD}{statement};\n-- contract: nobody has read it for two versions\nSELECT 1;\n"
    assert len(list(findings(other))) == 1, "a mark is of its own statement"


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE people ADD COLUMN name text;",
        "ALTER TABLE people ADD COLUMN name text NOT NULL DEFAULT 'DROP TABLE people';",
        "ALTER TABLE people ALTER COLUMN size SET DEFAULT 0, ALTER COLUMN name DROP NOT NULL;",
        "ALTER TABLE people SET (fillfactor = 70);",
        "CREATE TABLE people (size int NOT NULL); CREATE UNIQUE INDEX named ON people (size);",
        "CREATE TABLE people (size int); ALTER TABLE people ADD PRIMARY KEY (size);",
        "-- DROP TABLE people;\nSELECT 1;",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DROP TABLE x; END $$;",
        "DROP INDEX CONCURRENTLY IF EXISTS one; CREATE INDEX CONCURRENTLY one ON people (name);",
        "INSERT INTO people SELECT 1; UPDATE people SET size = 2;",
    ],
)
def test_what_only_adds_is_taken(text: str) -> None:
    assert list(findings(HEAD + text)) == []


@pytest.mark.parametrize("mark", ["-- contract:", "-- contract: safe", "-- contract: it is"])
def test_a_mark_without_a_reason_is_none(mark: str) -> None:
    assert len(list(findings(f"{HEAD}{mark}\nDROP TABLE people;"))) == 1
