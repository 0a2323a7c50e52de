"""Results in Python: the records of a request or a store, and their table, report and figures."""

import html
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Damaged, RequestError
from bench.plan.option_types import directory_named
from bench.records import Record, to_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from bench.store.store import Store

_NOTEBOOK_WIDTH = 140  # characters of a table


@dataclass(frozen=True, repr=False)
class Results:
    """The records of a request in the order of its table, or all of a store's. ``store``: where their pictures are."""

    records: list[Record]
    store: Path | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        counts = Counter(record.status for record in self.records)
        states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        return f"<Results: {len(self)} cell{'s' * (len(self) != 1)}{': ' if states else ''}{states}>"

    def _repr_html_(self) -> str:
        table = self.table(_NOTEBOOK_WIDTH)._repr_html_() if self.records else ""
        return f"<div>{html.escape(repr(self))}</div>{table}"

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """A data frame with one row a cell; the columns are the fields of ``bench.records.Record``."""
        return to_frame(self.records)

    @property
    def ok(self) -> bool:
        """Whether every cell is done or not applicable."""
        return not self.failed

    @property
    def failed(self) -> "Results":
        """Those cells that failed or ran into the timeout; ``reason`` and ``traceback`` of a record say why."""
        wrong = [record for record in self.records if record.status not in ("done", "not-applicable")]
        return Results(wrong, self.store)

    def table(self, width: int | None = None, *, with_invalid: bool = False) -> "Text":
        """The tables that ``bench run`` prints, as one text: ``print(results.table())``.

        width: in characters; by default the terminal's. with_invalid: attacks that did not work count in averages.
        """
        from rich.console import Console

        from bench.reports import terminal_table

        if not self.records:
            return Text("no results")
        console = Console(file=io.StringIO(), width=width or Console().width, color_system=None, force_jupyter=False)
        with console.capture() as captured:
            for table in terminal_table(self.frame, console.width, with_invalid=with_invalid):
                console.print(table)
        return Text("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def report(
        self,
        out: str | Path = "bench-report",
        *,
        with_invalid: bool = False,
        figures: Iterable[str] = (),
        compare_with: str = "",
    ) -> Path:
        """Write tables, figures and a page to a directory, as ``bench report`` does; return the page's path.

        figures: sweeps to draw beside the usual ones, such as ``["sweep:beta"]``. compare_with: a defense that all
        others are compared with, beside the best. Raises RequestError if there are no results, or for a sweep without
        any.
        """
        from bench.cell.outcomes import outcomes
        from bench.reports import UnknownFigure, write_report
        from bench.store.store import Store

        folder = directory_named("out", out)
        self._expect_some("report")
        store = None if self.store is None else Store(self.store, create=False)
        shown, known = (None, None) if store is None else (pictures(store, _warn), outcomes(store, _warn))
        how: dict[str, Any] = {
            "with_invalid": with_invalid,
            "figures": figures,
            "outcomes": known,
            "compare_with": compare_with,
        }
        try:
            return write_report(self.frame, folder, shown, **how)[-1]
        except UnknownFigure as error:
            raise RequestError(f"report: {error}") from None

    def plot(self, figure: str = "acc_asr", *, block: int = 0, with_invalid: bool = False) -> "Figure":
        """One of the report's figures: acc_asr, der, class_statistics, activations, stream, or ``sweep:beta``.

        block: which of the tables it is about, counted from 0, where there are several. Raises RequestError for a
        figure that is unknown or has nothing to show.
        """
        from bench.reports import UnknownFigure, draw

        self._expect_some("plot")
        try:
            return draw(self.frame, figure, block, with_invalid=with_invalid)
        except UnknownFigure as error:
            raise RequestError(f"plot: {error}") from None

    def _expect_some(self, what: str) -> None:
        if not self.records:
            raise RequestError(f"{what}: there are no results")


class Text(str):
    """A text that is shown as it is, also by Python's prompt and by a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<pre style="line-height:1.2">{html.escape(self)}</pre>'


def load(store: str | Path = "bench-store") -> Results:
    """All results of a store, as ``bench report`` takes them. A damaged one is left out with a warning.

    Raises RequestError if there is no such store.
    """
    from bench.cell.validity import judged_records
    from bench.store.store import Store

    opened = Store(directory_named("store", store), create=False)
    return Results(judged_records(opened, _warn), opened.root)


def pictures(
    store: "Store", damaged: Callable[[Damaged], object]
) -> "Callable[[str], tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None]":
    """A function from a victim's key to clean and triggered test images of it, both (N, H, W, C) in [0, 1].

    It gives None for a victim without images and for one with a damaged file; for that, ``damaged`` is called first.
    """

    def of_victim(key: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None":
        if not store.has("victims", key):
            return None
        try:
            images = store.arrays("victims", key, "pictures.safetensors")
        except Damaged as error:
            damaged(error)
            return None
        clean, triggered = (images[part].transpose(0, 2, 3, 1) / 255 for part in ("clean", "triggered"))
        return (clean, triggered) if len(clean) else None

    return of_victim


def _warn(error: Damaged) -> None:
    warnings.warn(f"left out, damaged: {error}; bench.run computes it again", stacklevel=2)
