"""The command line that a result is made by, as its record keeps it: for a shell, and with nobody's home in it."""

import re
import shlex
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

typed: ContextVar[str | None] = ContextVar("typed", default=None)  # set by the command line while a command runs


def current() -> str:
    """The ``bench …`` line that is being carried out; else the script or module that calls ``bench.run``."""
    path = Path(sys.argv[0] or "python")
    return typed.get() or f"bench.run(…) in {path.parent.name if path.name == '__main__.py' else path.name}"


def line(arguments: Sequence[str], home: str | None = None) -> str:
    """``bench`` with its arguments, for a shell; paths below ``home`` (default: the user's) begin with ~."""
    owner = str(Path.home()) if home is None else home
    return " ".join(["bench", *(_quoted(_hidden(part, owner)) for part in arguments)])


def _hidden(text: str, home: str) -> str:
    if len(home) < 2:  # a user without one
        return text
    return re.sub(rf"(?<![\w./~-]){re.escape(home.rstrip('/'))}(?=/|$|[,:])", "~", text)


def _quoted(text: str) -> str:
    head, slash, rest = text.partition("/")
    if head == "~" and slash:  # in quotes the shell would not see a home in it
        return "~/" + (shlex.quote(rest) if rest else "")
    return shlex.quote(text)
