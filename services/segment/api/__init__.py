"""What people and programs ask of segment, over gRPC."""
