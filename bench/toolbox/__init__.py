"""What plugins may compute with."""
