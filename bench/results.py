"""Results in Python: the records of a request or a store, and their table, report and figures."""

import html
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from bench.errors import Damaged, RequestError
from bench.notebook import Text
from bench.plan.option_types import directory_named
from bench.records import (
    RECORD_FILES,
    RECORD_SUFFIXES,
    Record,
    UnreadableRecords,
    merged,
    read_all,
    to_frame,
    write_records,
)
from bench.reported import known_outcomes, write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bench.reports import Shown
    from bench.reports.site.about import Stated

_NOTEBOOK_WIDTH = 140  # characters of a table


class Words(TypedDict, total=False):
    """How results are shown; ``Results.report`` says what each of these is."""

    order: str
    rename: str | Iterable[str] | Mapping[str, str]
    metrics: str | Iterable[str]
    rows: str


@dataclass(frozen=True, repr=False)
class Results:
    """The records of a request in the order of its table, or all of a store's. ``store``: where their pictures are.

    ``given``: the labels of attacks and defenses in the order in which they were selected, by kind.
    """

    records: list[Record]
    store: Path | None = field(default=None, compare=False)
    given: Mapping[str, list[str]] = field(default_factory=dict, compare=False)

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
        return Results(wrong, self.store, self.given)

    def select(self, **selections: Any) -> "Results":
        """Those records that the selections fit, as ``bench report`` takes them: ``select(attacks="sig", seeds=[0])``.

        The options are those of ``bench.run`` that say what to compare. A name means the plugin with its usual
        parameters, ``all`` and a glob every variant. Raises RequestError where nothing fits.
        """
        from bench.plan.matching import matching
        from bench.plan.request import Request

        matched = matching(Request.read(selections), self.records)
        for line in matched.notes:
            warnings.warn(line, stacklevel=2)
        return Results(matched.records, self.store, {**self.given, **matched.given})

    def save(self, file: str | Path) -> Path:
        """Write the records to ``file``, ``….jsonl``, a line each: ``bench.load`` and ``bench report`` read it."""
        path = Path(file)
        if path.suffix != ".jsonl":
            raise RequestError(f"save {path}: expected a file *.jsonl")
        return write_records(self.records, path)

    def table(
        self, width: int | None = None, *, with_invalid: bool = False, long: bool = False, **shown: Unpack[Words]
    ) -> Text:
        """The tables that ``bench run`` prints, as one text: ``print(results.table())``.

        width: in characters; by default the terminal's. with_invalid: attacks that did not work count in averages.
        long: every metric also where there are more than 40 pairs. The rest is as for ``report``.
        """
        from rich.console import Console

        from bench.reports import terminal_table

        if not self.records:
            return Text("no results")
        console = Console(file=io.StringIO(), width=width or Console().width, color_system=None, force_jupyter=False)
        with console.capture() as captured, _said_by("table: "):
            how: dict[str, Any] = {"outcomes": known_outcomes(self.store, _warn), "shown": _shown(shown, self.given)}
            for table in terminal_table(self.frame, console.width, with_invalid=with_invalid, long=long, **how):
                console.print(table)
        return Text("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def report(
        self,
        out: str | Path = "bench-report",
        *,
        with_invalid: bool = False,
        figures: Iterable[str] = (),
        published: bool = False,
        compare_with: str = "",
        latex_width: float | None = None,
        latex_columns: int | None = None,
        **shown: Unpack[Words],
    ) -> Path:
        """Write tables, figures, a page and the records to a directory, as ``bench report``; return the page's path.

        figures: sweeps to draw beside the usual ones, such as ``["sweep:beta"]``. order: "name", "given" (as selected)
        or "der". rename: display names, such as ``{"mine": "Ours"}``. metrics: the columns of the main table, such as
        "acc,asr,der,ra". rows: "attacks" or "defenses". published: with published figures beside the measured
        ones. compare_with: a defense that all others are compared with, beside the best. latex_width: of the text of
        your paper's page, in centimetres; latex_columns: how many columns it has. Raises RequestError if there are no
        results, for a sweep without any, and for what cannot be shown so.
        """
        self._expect_some("report")
        folder = directory_named("out", out)
        with _said_by("report: "):
            chosen = _shown(shown, self.given)
            how = {"with_invalid": with_invalid, "figures": figures, "published": published, "shown": chosen}
            how |= {"latex_width": latex_width, "latex_columns": latex_columns}
            return write(self.records, self.frame, self.store, folder, _warn, **how, compare_with=compare_with)[-1]

    def plot(
        self, figure: str = "acc_asr", *, block: int = 0, with_invalid: bool = False, **shown: Unpack[Words]
    ) -> "Figure":
        """One of the report's figures: acc_asr, der, class_statistics, activations, stream, or ``sweep:beta``.

        block: which of the tables it is about, counted from 0, where there are several. The rest is as for ``report``.
        Raises RequestError for a figure that is unknown or has nothing to show.
        """
        from bench.reports import draw

        self._expect_some("plot")
        with _said_by("plot: "):
            return draw(self.frame, figure, block, with_invalid=with_invalid, shown=_shown(shown, self.given))

    def site(
        self,
        out: str | Path = "bench-site",
        *,
        with_invalid: bool = False,
        published: bool = False,
        **stated: "Unpack[Stated]",
    ) -> Path:
        """Write a static site to a directory, as ``bench site``; return the path of its index.

        title, url, license, creator: of the site and its results. The rest is as for ``report``. Raises RequestError if
        there are no results, for a url that is no address, and for a file in the directory that no site wrote.
        """
        from bench.reports.site.about import about
        from bench.reports.site.write import write_site

        self._expect_some("site")
        folder = directory_named("out", out)
        with _said_by("site: "):
            return write_site(self.records, folder, about(**stated), with_invalid=with_invalid, published=published)[-1]

    def _expect_some(self, what: str) -> None:
        if not self.records:
            raise RequestError(f"{what}: there are no results")


def load(source: str | Path = "bench-store", *more: str | Path) -> Results:
    """All results of stores and of files of records (``records.jsonl``, ``results.parquet``, ``table.csv``), each once.

    A source may also be a directory with such a file. A damaged result of a store is left out with a warning. Raises
    RequestError if there is no such store, and for a file that is damaged.
    """
    named = (Path(one) if Path(one).is_file() else directory_named("store", one) for one in (source, *more))
    results, notes = from_sources(list(named), _warn)
    for line in notes:
        warnings.warn(line, stacklevel=2)
    return results


def is_records(path: Path) -> bool:
    """Whether this is a file of records, by its name, or a directory that has one and is no store."""
    if path.is_dir():
        return not (path / "store.json").exists() and any((path / name).is_file() for name in RECORD_FILES)
    return path.suffix in RECORD_SUFFIXES


def from_store(path: Path, damaged: Callable[[Damaged], object]) -> Results:
    """All results of a store; ``damaged`` is called with what is left out. Raises RequestError if there is none."""
    from bench.cell.validity import judged_records
    from bench.store.store import Store

    store = Store(path, create=False)
    return Results(judged_records(store, damaged), store.root)


def from_sources(paths: Sequence[Path], damaged: Callable[[Damaged], object]) -> tuple[Results, list[str]]:
    """All results of some stores and files, each cell once, and lines about what the files do not hold.

    A verdict is derived anew where the control row that it needs is there; else it is the one that was written.
    ``store`` is that of a single source. Raises RequestError, of a file with its line, for what cannot be read.
    """
    from bench.cell.validity import judged_again

    files = [path for path in paths if is_records(path)]
    stores = [from_store(path, damaged) for path in paths if path not in files]
    if len(stores) == len(paths) == 1:
        return stores[0], []
    given, notes = _read(files)
    records, differing = merged([*given, *((str(results.store), results) for results in stores)])
    return Results(judged_again(records)), notes + differing


def _read(paths: Iterable[Path]) -> tuple[list[tuple[str, list[Record]]], list[str]]:
    try:
        return read_all(paths)
    except UnreadableRecords as error:
        raise RequestError(str(error)) from None


def _warn(error: Damaged) -> None:
    warnings.warn(f"left out, damaged: {error}; bench.run computes it again", stacklevel=2)


def _shown(words: Words, given: Mapping[str, list[str]]) -> "Shown":
    from bench.reports import shown

    return shown(**words, given=given)


@contextmanager
def _said_by(what: str) -> Iterator[None]:
    """Turns what the reports say of a wrong choice into a RequestError that begins with ``what``."""
    from bench.reports import UnknownFigure, WrongChoice

    try:
        yield
    except (UnknownFigure, WrongChoice) as error:
        raise RequestError(f"{what}{error}") from None
