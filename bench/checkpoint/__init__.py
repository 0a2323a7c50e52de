"""Networks that somebody else has trained: their files, read without running code, and their own preprocessing."""
