"""Paths on the command line: an empty text, such as a variable that is not set, is none, not the current directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import CoercionError, Parameter, Token


def _given(_: object, tokens: Sequence[Token]) -> Path:
    """The path that was typed. Raises CoercionError for an empty one."""
    [token] = tokens
    if not token.value.strip():
        raise CoercionError(msg=f"{token.keyword or 'argument'} '': expected a path, this is empty")
    return Path(token.value)


GivenPath = Annotated[Path, Parameter(converter=_given)]
