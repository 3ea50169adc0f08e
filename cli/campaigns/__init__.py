"""`merhaba campaigns`: drafted, looked at beforehand, launched, watched and steered."""
