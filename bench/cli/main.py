"""The command line: runs a command, and turns what it raises into one line and an exit status."""

import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import CycloptsError

from bench import provenance
from bench.cli.commands import app
from bench.cli.options import complaint
from bench.cli.output import complain
from bench.errors import Damaged, RequestError


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
        return command() or 0
    except RequestError as error:
        complain(" ".join(str(error).split()))
        return 2
    except CycloptsError as error:
        complain(complaint(error))
        return 2
    except Damaged as error:
        complain(f"damaged: {error}")
        return 1
    except KeyboardInterrupt:
        complain("interrupted; finished work is kept, and the same command continues from there")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # such as a full disk, or a folder that may not be written to
        complain(str(error))
        return 1
