"""The words of a template's message: where they come from, how they are written, what is seen."""
