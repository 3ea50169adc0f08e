"""`merhaba import`: a file into ingest, resumable, with its refused rows beside it."""
