"""`merhaba exports`: answers as files, now or again and again."""
