"""Each of the linter's rules: what breaks it, where, and what is next to that and keeps it."""

from services.sender.tests.lint_cases import buttons, category, parts, texts

CASES = [*category.CASES, *texts.CASES, *parts.CASES, *buttons.CASES]
