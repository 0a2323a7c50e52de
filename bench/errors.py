"""The one error that means: what was asked for cannot be done as it was asked."""


class RequestError(ValueError):
    """A wrong request. The message is one line that names the value and what was expected."""
