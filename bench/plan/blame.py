"""Whose fault it is: what a plugin raises while a request is planned becomes one line that names the plugin."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from bench.errors import Damaged, RequestError, one_line, shortened
from bench.records.texts import LONGEST

if TYPE_CHECKING:
    from bench.plugin.base import Plugin  # it loads torch, and the command line's help does without

Undoing = Callable[[str], AbstractContextManager[None]]
"""Gives a context in which code of the plugin that is named may run: what it changes in the process is put back."""


def named(plugin: "Plugin | type[Plugin]") -> str:
    """What a line calls a plugin, such as "attack 'x'"."""
    return f"{plugin.kind} {plugin.name!r}"


@contextmanager
def blaming(plugin: str, what: str) -> Iterator[None]:
    """While open, whatever is raised becomes a RequestError: ``plugin``, such as "attack 'x'", failed in ``what``.

    A RequestError is passed on, cut to a readable length, and so is Ctrl-C. SystemExit is not: a plugin does not end
    the harness.
    """
    try:
        yield
    except RequestError as error:
        if len(str(error)) > LONGEST:
            raise RequestError(shortened(str(error), LONGEST)) from error
        raise
    except (Damaged, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RequestError(f"{plugin}: {what} failed: {one_line(error)}") from error
