"""Who a person is, what they agreed to and what they did."""
