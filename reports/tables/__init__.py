"""The tables of a report, a file a format."""
