"""`merhaba report`: what came of it, and what it cost."""
