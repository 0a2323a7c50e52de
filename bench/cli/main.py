"""The command line: runs a command, and turns what it raises into one line and an exit status."""

import gc
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import CycloptsError

from bench import provenance
from bench.cli.author import check, new
from bench.cli.commands import app
from bench.cli.exporting import export
from bench.cli.looking import list_plugins, plan, show, status
from bench.cli.options import complaint
from bench.cli.output import complain
from bench.cli.reporting import report, rm
from bench.cli.running import run
from bench.cli.site import site
from bench.cli.suspect import repair, scan
from bench.errors import Damaged, RequestError, shortened
from bench.records.texts import LONGEST

app.command(run)
app.command(plan)
app.command(list_plugins, name="list")
app.command(show)
app.command(status)
app.command(new)
app.command(check)
app.command(export)
app.command(report)
app.command(rm)
app.command(site)
app.command(scan)
app.command(repair)
app.register_install_completion_command(help="Let your shell complete the commands and options of bench.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 all went well, 1 a cell failed or a file is damaged, 2 the request was wrong."""
    gc.set_threshold(50_000, 20, 20)  # by default torch's modules and 10,000 records are searched again and again
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    before = provenance.typed_command.set(provenance.command_line(tokens))
    try:
        status = _guarded(lambda: app(tokens, exit_on_error=False, print_error=False, result_action="return_value"))
    finally:
        provenance.typed_command.reset(before)
    sys.exit(status)


def _guarded(command: Callable[[], Any]) -> int:
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except RequestError as error:
        complain(_line(error))
        return 2
    except CycloptsError as error:
        complain(shortened(complaint(error), LONGEST))
        return 2
    except Damaged as error:
        complain(f"damaged: {error}")
        return 1
    except MemoryError:
        complain("out of memory")
        return 1
    except KeyboardInterrupt:
        complain("interrupted; finished work is kept, and the same command continues from there")
        return 130
    except SystemExit as error:  # rich leaves so, with status 1, when nobody reads any more
        if isinstance(error.__context__, BrokenPipeError) and _nobody_reads():
            return 0
        raise
    except OSError as error:  # such as a full disk, or a folder that may not be written to
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 0
        complain(_line(error))
        return 1


def _line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()), LONGEST)


def _nobody_reads() -> bool:
    """Whether the reader of the standard output has left, as ``head`` does; what is still to be printed is dropped."""
    try:
        number = sys.stdout.fileno()
    except OSError:  # it is no file
        return False
    left = select.poll()
    left.register(number, select.POLLOUT)
    gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in left.poll(0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    same = os.fstat(number).st_rdev == os.fstat(nowhere).st_rdev  # rich has dropped it already
    if gone:
        os.dup2(nowhere, number)
    os.close(nowhere)
    return gone or same
