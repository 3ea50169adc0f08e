"""Templates: written, checked, submitted to Meta, and kept in step with what Meta says of them."""
