"""Fixtures of every test: real servers, a manual clock."""

pytest_plugins = ["chassis.testing"]
