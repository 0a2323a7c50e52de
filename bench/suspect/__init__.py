"""A network that somebody else has trained: is there a backdoor in it, and a repaired network if so."""
