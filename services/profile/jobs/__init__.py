"""What profile does by itself: reads the log, is on time, and computes anew."""
