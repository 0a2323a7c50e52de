"""What a report takes from a store, beside the records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Damaged
from bench.records import RECORD_FILES, Record, lines_of

if TYPE_CHECKING:
    import pandas as pd

    from bench.records.outcomes import OutcomesOf


def write(
    records: Sequence[Record],
    frame: "pd.DataFrame",
    store: Path | None,
    folder: Path,
    damaged: Callable[[Damaged], object],
    **how: Any,
) -> list[Path]:
    """Write the report of some records, of which ``frame`` has a row each, and the records; the paths written.

    That of the page is last. store: where their pictures and predictions are; ``damaged`` is called with what is left
    out of it. how: what ``bench.reports.write_report`` takes, which says too what is raised.
    """
    from bench.cell.pictures import pictures
    from bench.reports import write_report
    from bench.store.store import Store

    if store is not None:
        how["pictures"] = pictures(Store(store, create=False), damaged)
    how["outcomes"] = known_outcomes(store, damaged)
    how["more"] = {RECORD_FILES[0]: lines_of(records)}
    return write_report(frame, folder, **how)


def known_outcomes(store: Path | None, damaged: Callable[[Damaged], object]) -> "OutcomesOf | None":
    """What gives the outcome of every test image of a store's records; None without a store.

    ``damaged`` is called with what of the store cannot be read.
    """
    from bench.cell.outcomes import outcomes
    from bench.store.store import Store

    return None if store is None else outcomes(Store(store, create=False), damaged)
