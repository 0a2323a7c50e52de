"""The commands on whole stores: parse, call, print. Heavy imports wait until a command needs them."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from bench import __version__
from bench.cli.options import merge_options, with_options
from bench.cli.output import agreed, complain, name_damaged, print_lines
from bench.cli.paths import GivenPath
from bench.errors import Damaged, RequestError

app = App(
    name="bench",
    help="Compare defenses against backdoor attacks on image classifiers.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # ``main`` says what is kept
)


@app.command
def merge(into: GivenPath, /, *others: GivenPath) -> int:
    """Copy into a store what it does not have from other stores, checking every file that is copied.

    What both have stays as it is in the first. Finished cells win over failures. Damaged stages are left out.

    Parameters
    ----------
    into
        The store to copy into; made if it does not exist.
    others
        The stores to copy from; they stay as they are.
    """
    from bench.cli.listing import merged_lines
    from bench.store.merge import merge as merge_stores
    from bench.store.store import Store

    if not others:
        raise RequestError(f"merge {into}: expected one or more stores to take from")
    sources = [Store(path, create=False) for path in others]
    target, clean = Store(into), True
    for source in sources:
        made = merge_stores(target, source)
        clean = clean and not made.damaged
        print_lines([f"{source.root}:", *merged_lines(made)])
    return 0 if clean else 1


@app.command
@with_options(["store"])
def measure(**options: Any) -> int:
    """Derive every metric of a store's cells anew from the stored predictions. Nothing is run again."""
    from bench.cell.measure import measure_again
    from bench.cli.listing import measured_lines
    from bench.store.store import Store

    _, how = merge_options(None, options)
    store, damaged = Store(how.store, create=False), list[Damaged]()
    print_lines(measured_lines(measure_again(store, damaged.append)))
    for error in damaged:
        name_damaged(error)
    return 1 if damaged else 0


@app.command
@with_options(["store"])
def verify(**options: Any) -> int:
    """Read all that a store holds, compare every hash and check every file; nothing is changed.

    What is damaged is named; bench run computes it again. bench status then says when this was.
    """
    from bench.cli.listing import verified_lines
    from bench.store import verify as verifying
    from bench.store.store import Store

    _, how = merge_options(None, options)
    store = Store(how.store, create=False)
    found = verifying.verify(store)
    print_lines(verified_lines(found))
    try:
        verifying.note(store, found)
    except OSError as error:  # such as a store that may only be read
        complain(f"when this was verified could not be kept: {error}")
    return 1 if found.damaged else 0


@app.command(name="gc")
@with_options(["store"])
def clean(*, yes: Annotated[bool, Parameter(negative="", show_default=False)] = False, **options: Any) -> None:
    """Remove from a store what no record needs, after listing it and asking.

    Parameters
    ----------
    yes
        Do not ask.
    """
    from bench.cli.listing import waste_lines
    from bench.store.store import Store
    from bench.store.waste import discard, waste

    _, how = merge_options(None, options)
    store = Store(how.store, create=False)
    damaged: list[Damaged] = []
    unneeded = waste(store, damaged)
    print_lines(waste_lines(unneeded, damaged))
    if unneeded and (yes or agreed("gc")):
        discard(store, unneeded)
