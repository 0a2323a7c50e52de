"""What the page of a report is made of; ``bench.reports.tables.page`` puts it together."""
