"""The pages: figures as HTML. Pure."""
