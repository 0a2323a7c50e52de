"""The report directory: tables, figures, a page, and the records themselves."""

import re
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.records.outcomes import OutcomesOf
from bench.reports.blocks import Block, blocks
from bench.reports.chosen import Shown, WrongChoice
from bench.reports.collecting import unscanned
from bench.reports.directory import expect_free, write_files
from bench.reports.figures.acc_asr import acc_asr
from bench.reports.figures.activation_histograms import activation_histograms
from bench.reports.figures.class_statistics import class_statistics
from bench.reports.figures.critical_difference import critical_difference
from bench.reports.figures.der_map import der_map
from bench.reports.figures.gallery import gallery
from bench.reports.figures.overview import overview
from bench.reports.figures.stream_curves import stream_curves
from bench.reports.figures.style import rendered, styled
from bench.reports.figures.sweep import sweep_figure
from bench.reports.names.titles import display_names
from bench.reports.records import DAGGER
from bench.reports.sections import Section, section
from bench.reports.suffixes import suffixes
from bench.reports.sweeps import Sweep, sweeps
from bench.reports.tables.csv import csv
from bench.reports.tables.latex import latex_files
from bench.reports.tables.latex_floats import Paper
from bench.reports.tables.markdown import markdown
from bench.reports.tables.page import page
from bench.reports.tables.sweep_csv import sweep_csv
from bench.reports.uncertainty.differences import chosen_defense
from bench.reports.uncertainty.record_limits import with_limits

Pair = tuple[NDArray[Any], NDArray[Any]]
Pictures = Callable[[str], Pair | None]
"""From a victim's key to its clean and triggered images, both (N, H, W, C) or (N, H, W) in [0, 1]; None for none."""

FIGURES: dict[str, tuple[Callable[[Block], Figure | None], str]] = {
    "overview": (
        overview,
        "What each defense costs, and what it leaves: the mean fall of accuracy against the mean attack success rate, "
        "over the attacks of the average. The best place is bottom left. Lines join those that none who was given the "
        "same beats in both; oracles are hollow.",
    ),
    "acc_asr": (
        acc_asr,
        "Accuracy on clean images against attack success rate: before the defense hollow, or where a grey line begins, "
        "after it filled, means over seeds; lines through a mark are one standard deviation. The best place is top "
        "left. Defenses that only flag inputs have no panel.",
    ),
    "der": (
        der_map,
        "Defense effectiveness rating (DER); 50 % means nothing gained. Within what they were given, defenses stand by "
        "their average; bold and in a frame is the best among them. Grey: there is no DER.",
    ),
    "ranks": (
        critical_difference,
        "Mean ranks of DER over victims, 1 the best, among defenses that were given the same. A bar joins those that "
        "Nemenyi's test cannot tell apart at 5 %.",
    ),
    "class_statistics": (
        class_statistics,
        "What a defense computed of every class, a dot a seed, or where there are many cells their range: true target "
        "classes as diamonds, classes that the defense took for a target in a ring, or as the legend says.",
    ),
    "activations": (
        activation_histograms,
        "Activations of the channels that an estimated trigger alters most, and in the last layer, of the first seed: "
        "of clean images, of the same images with the trigger, and of these in the repaired network.",
    ),
    "stream": (
        stream_curves,
        "Robust accuracy as the stream passes, for defenses that learn from it: each mark is a tenth of the stream.",
    ),
}
_SWEEP = (
    "Results over {}, everything else equal: marks are means over seeds, dots the seeds, dashes the undefended network."
)
_INVALID = f" {DAGGER}: the attack had not worked."
_GALLERY = "Test images without and with each trigger, and the difference, multiplied as said, around mid-grey."


def write_report(
    frame: pd.DataFrame,
    folder: Path,
    pictures: Pictures | None = None,
    *,
    with_invalid: bool = False,
    figures: Iterable[str] = (),
    published: bool = False,
    shown: Shown | None = None,
    outcomes: OutcomesOf | None = None,
    compare_with: str = "",
    latex_width: float | None = None,
    latex_columns: int | None = None,
    more: Mapping[str, bytes] | None = None,
) -> list[Path]:
    """Write tables, figures and index.html of the records in ``frame`` to ``folder``; return the paths written.

    ``frame`` has a row a cell; its columns are the fields of ``bench.records.Record``, any of which may be missing.
    ``pictures`` is asked for the first victim of each attack of each block until one has images.
    ``with_invalid``: attacks that did not work count in the averages too. ``figures``: sweeps to draw beside the
    usual figures, such as ``sweep:beta`` (``bench.reports.sweeps``), each with its numbers as CSV. ``published``: with
    published figures beside the measured ones (``bench.reports.published_tables``). ``shown``: order, display names,
    metrics and rows. ``outcomes`` is asked for every done cell, by its key and its victim's, what became of each test
    image; without it some intervals are not known. ``compare_with``: a defense that all others are compared with beside
    the best. ``latex_width``: of the text of a paper's page, in centimetres; ``latex_columns``: how many columns it
    has, 1 or 2. ``more``: further files of the directory. The same frame gives the same files. A file is complete or
    not there, and those of the last report are replaced or removed (``bench.reports.directory``). Raises UnknownFigure
    and WrongChoice, before anything is written, for a sweep of which there are no results, for names that the records
    do not have, for what no paper is and for a file that no report wrote, and OSError where the folder cannot be
    written.
    """
    expect_free(folder)
    paper = Paper.of(latex_width, latex_columns)
    files: dict[str, bytes] = {}
    write = files.__setitem__
    with unscanned() as settled:
        compared = blocks(frame, with_invalid=with_invalid, outcomes=outcomes, compare_with=compare_with, shown=shown)
        if compare_with and not any(map(chosen_defense, compared)):
            names = sorted({name for block in compared for name in block.defenses})
            raise WrongChoice(f"against {compare_with}: expected one of {', '.join(names)}")
        swept = sweeps(compared, figures)
        sections = [section(block, published=published) for block in compared]
        settled()
        with styled():
            named = list(zip(compared, suffixes(compared), strict=True))
            links = [
                _figures(block, suffix, write) + _sweeps(block, own, suffix, write)
                for (block, suffix), own in zip(named, swept, strict=True)
            ]
            triggers = [_gallery(block, suffix, pictures, write) for block, suffix in named]
        _tables(sections, paper, write)
        write("results.parquet", _parquet(with_limits(frame)))
        files |= more or {}
        write("index.html", page(sections, links, triggers, files.__getitem__).encode())  # last: it holds the figures
    return write_files(folder, files)


def _tables(sections: list[Section], paper: Paper, write: Callable[[str, bytes], None]) -> None:
    """Write the tables in Markdown, LaTeX and CSV."""
    write("table.md", markdown(sections).encode())
    for name, text in latex_files(sections, paper).items():
        write(name, text.encode())
    write("table.csv", csv([section.block for section in sections]).encode())


def _figures(block: Block, suffix: str, write: Callable[[str, bytes], None]) -> list[tuple[str, str]]:
    """Write a block's figures; the paths and captions of those that have something to show."""
    links = []
    for name, (draw, caption) in FIGURES.items():
        figure = draw(block)
        if figure:
            _save(figure, name + suffix, write)
            links.append((f"figures/{name}{suffix}.png", caption + _INVALID * bool(block.invalid_attacks)))
    return links


def _sweeps(
    block: Block, swept: list[Sweep], suffix: str, write: Callable[[str, bytes], None]
) -> list[tuple[str, str]]:
    """Write a block's sweeps, each as a figure and as numbers; the paths and captions of the figures."""
    links = []
    for sweep in swept:
        name = re.sub(r"[^A-Za-z0-9_.]+", "-", sweep.name) + suffix
        _save(sweep_figure(block, sweep), name, write)
        write(f"figures/{name}.csv", sweep_csv(sweep).encode())
        caption = _SWEEP.format(sweep.parameter) + _INVALID * bool(block.invalid_attacks)
        links.append((f"figures/{name}.png", caption))
    return links


def _gallery(
    block: Block, suffix: str, pictures: Pictures | None, write: Callable[[str, bytes], None]
) -> list[tuple[str, str]]:
    """Write a block's figure of triggers; its path and caption, if there is anything to show."""
    names = display_names(block)
    own = {names.attack(attack): pair for attack, pair in _pictures(block, pictures).items()} if pictures else {}
    figure = gallery(own, names.heading if suffix else "")
    if not figure:
        return []
    _save(figure, f"gallery{suffix}", write)
    return [(f"figures/gallery{suffix}.png", f"{block.title}. {_GALLERY}" if suffix else _GALLERY)]


def _pictures(block: Block, pictures: Pictures) -> dict[str, Pair]:
    """By attack, the pictures of its victim with the lowest seed that has some."""
    found: dict[str, Pair] = {}
    if "victim_key" not in block.records:
        return found
    victims = block.records[["seed", "attack_label", "victim_key"]].drop_duplicates()
    for attack, key in victims.sort_values("seed", kind="stable")[["attack_label", "victim_key"]].itertuples(
        index=False
    ):
        if attack not in found and (pair := pictures(str(key))) is not None:
            found[attack] = np.asarray(pair[0]), np.asarray(pair[1])
    return found


def _save(figure: Figure, name: str, write: Callable[[str, bytes], None]) -> None:
    for kind, data in rendered(figure).items():
        write(f"figures/{name}.{kind}", data)


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()
