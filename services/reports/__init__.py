"""What came of it: facts about messages, orders and segments, reports over them, the dashboard."""
