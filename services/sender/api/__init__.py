"""What people and programs ask of the sender, over gRPC."""
