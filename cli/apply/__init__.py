"""`merhaba apply`: what files declare, made so."""
