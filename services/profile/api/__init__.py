"""What people and programs ask of profile, over gRPC."""
