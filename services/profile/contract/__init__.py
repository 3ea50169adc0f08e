"""Between the contracts and the model, both ways."""
