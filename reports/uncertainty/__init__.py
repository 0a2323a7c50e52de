"""How sure the figures of a report are: intervals, tests, ranks."""
