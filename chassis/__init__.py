"""What every service stands on: settings, logs, telemetry, gRPC, Postgres and the event log."""
