"""The store: what is kept of stages, on disk."""
