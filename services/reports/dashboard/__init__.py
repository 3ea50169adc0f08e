"""What people look at in a browser: pages of figures, made on the server."""
