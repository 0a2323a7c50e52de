"""The defense clip, for defensebench."""
