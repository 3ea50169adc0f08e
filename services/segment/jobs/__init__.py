"""What segment does by itself: reads the log, is on time, and works long jobs off."""
