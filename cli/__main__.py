"""The `merhaba` command."""

import os

# The stack forks while it holds gRPC channels; the children execute another program at once, so
# gRPC's own handling of forks has nothing to do. It is read when gRPC is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What a person can act on is said in our own words; gRPC's own lines would stand between.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from cli.commands import app


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
