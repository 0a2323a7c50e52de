"""Victims made elsewhere: what the files that hold them say, and their networks. No code in them is run."""
