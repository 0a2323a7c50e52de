"""The command that runs what a store does not have yet. Heavy imports wait until it is called."""

import shlex
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import provenance
from bench.cli.options import EVERY, merge_options, with_options
from bench.cli.output import Neutral, complain, name_damaged
from bench.cli.printed_options import Log, Long, Quiet, Verbose, WithInvalid
from bench.engine.options import RunOptions
from bench.errors import RequestError
from bench.records.texts import printable

if TYPE_CHECKING:
    from rich.console import Console

    from bench.engine.display import Lines, Several, Silent
    from bench.records import Record
    from bench.results import Results

INTERRUPTED = 130  # exit status, as of what SIGINT ends


@with_options(EVERY)
def run(
    study: Path | None = None,
    /,
    *,
    with_invalid: WithInvalid = False,
    long: Long = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: Log = None,
    **options: Any,
) -> int:
    """Run every cell of dataset x model x attack x defense x seed that is not in the store, and print the table.

    Parameters
    ----------
    study
        A TOML file with the same options; the command line wins over it.
    """
    from rich.console import Console

    from bench.api import run_request
    from bench.engine.printed import to_stderr
    from bench.reported import known_outcomes
    from bench.reports import terminal_table

    request, how = merge_options(study, options)
    if quiet and verbose:
        raise RequestError("--quiet --verbose: expected one of them")
    out, err, began = Console(), Console(stderr=True), time.monotonic()
    with _listening(err, log, quiet=quiet, verbose=verbose) as listener:
        try:
            with to_stderr():
                results = run_request(request, how, listener)
        except KeyboardInterrupt:
            _interrupted(listener, how.store, quiet=quiet)
            return INTERRUPTED
    last = [_failure(record, how) for record in results.failed]
    try:
        known = known_outcomes(results.store, name_damaged)
        for table in terminal_table(results.frame, with_invalid=with_invalid, long=long, outcomes=known):
            out.print(Neutral(table))
    except SystemExit:  # rich, when nobody reads any more: what failed is said in any case
        if not last:
            raise
    for line in last if quiet else [*last, _summary(results, time.monotonic() - began, how)]:
        err.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    return 0 if results.ok else 1


@contextmanager
def _listening(err: "Console", log: Path | None, *, quiet: bool, verbose: bool) -> "Iterator[Silent | Lines | Several]":
    """Who is told what happens: whoever looks at ``err``, and the file ``log``."""
    from bench.cli.log_file import log_to
    from bench.engine.display import Lines, Screen, Several, Silent

    with ExitStack() as stack:
        told: list[Silent | Lines] = []
        if log is not None:
            told.append(stack.enter_context(log_to(log, verbose=verbose)))
        if err.is_terminal and not quiet:
            told.insert(0, stack.enter_context(Screen(err, verbose=verbose)))
        elif not quiet:
            told.insert(0, Lines(err, verbose=verbose))
        yield told[0] if len(told) == 1 else Several(told) if told else Silent()


def _failure(record: "Record", how: RunOptions) -> str:
    """Which cell has failed, why, and the command that shows all that is known of it."""
    cell = f"{record.attack_label} × {record.defense_label} seed {record.seed}: {record.status}: {record.reason}"
    return f"{cell} ({_command('show', record.key[:12], how)})"


def _summary(results: "Results", seconds: float, how: RunOptions) -> str:
    """What the table is of, how long it took, where it is kept, and what can be done with it."""
    from bench.engine.clock import spoken

    counts = Counter(record.status for record in results.records)
    states = ", ".join(f"{count} {status.replace('-', ' ')}" for status, count in counts.most_common())
    count = f"{len(results)} cell{'s' * (len(results) != 1)}"
    kept = f"in {spoken(seconds)}, kept in {how.store}"
    return f"{count} ({states}) {kept}; tables, figures and a page: {_command('report', '', how)}"


def _command(name: str, argument: str, how: RunOptions) -> str:
    """A command on the store of this run, as it can be typed."""
    usual = how.store == RunOptions.model_fields["store"].default
    store = "" if usual and name == "show" else f"--store {shlex.quote(str(how.store))}"
    return " ".join(filter(None, ["bench", name, argument, store]))


def _interrupted(listener: "Silent | Lines | Several", store: Path, *, quiet: bool) -> None:
    """Say what is kept of a run that was interrupted, and how to go on."""
    from bench.engine.display import Lines, Several

    lines = listener.listeners if isinstance(listener, Several) else [listener]
    counted = next((one for one in lines if isinstance(one, Lines) and one.total), None)
    done = f"{counted.done} of {counted.total} stages are done and kept" if counted else "what is done is kept"
    line = (
        f"interrupted: {done} in {store}; a training goes on at its last checkpoint. The same command continues: "
        f"{provenance.current_command()}"
    )
    listener.note(line)
    if quiet:
        complain(line)
