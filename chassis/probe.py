"""`python -m chassis.probe PORT`: whether the service on this machine serves, by its HEALTH_PORT.

For what starts containers and asks by a command; Kubernetes asks by itself.
"""

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TIMEOUT_S = 2


def main(port: int) -> int:
    """Exit code: 0 when it serves, 1 when it does not."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            sys.stderr.write(f"{error.code().name}\n")
            return 1
    return int(answer.status != health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
