"""A scan as one page: the verdict, what it is worth, the class statistics, the reconstructed triggers."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from bench import __version__, provenance
from bench.suspect.scan import Finding, Scan
from bench.suspect.told import accuracy_line, heading, order, value_text
from bench.suspect.verdict import RULE


def written_page(scan: Scan, facts: Mapping[str, str]) -> str:
    """The HTML of the page, with all pictures in it. facts: what the network was taken for, in words."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    shown = order(scan)
    return template.render(
        scan=scan,
        facts={**facts, "images": f"{scan.images}, {accuracy_line(scan)}"},
        verdict=scan.verdict.told(scan.classes),
        rule=RULE,
        worth=scan.worth,
        headings=[heading(finding).split("\n") for finding in scan.done],
        rows=[(label, scan.classes[label], [value_text(one, label) for one in scan.done]) for label in shown],
        figure=_figure(scan) if scan.done else None,
        pictures=_pictures(scan),
        version=__version__,
        command=provenance.current_command(),
        made=provenance.now(),
    )


def _pictures(scan: Scan) -> list[dict[str, Any]]:
    return [
        {
            "method": finding.method,
            "kind": picture.kind,
            "name": scan.classes[picture.target] if picture.target < len(scan.classes) else picture.target,
            "flagged": picture.target in finding.flagged,
            "png": picture.png,
        }
        for finding in scan.done
        for picture in finding.pictures
    ]


def _figure(scan: Scan) -> str:
    """A panel a method with a dot a class, the named ones marked; a PNG in base64."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(scan.done), 2.6), layout="constrained")
    panels = figure.subplots(1, len(scan.done), squeeze=False)[0]
    for axes, finding in zip(panels, scan.done, strict=True):
        _draw(axes, finding)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return base64.b64encode(written.getvalue()).decode()


def _draw(axes: Any, finding: Finding) -> None:
    known = [(label, value) for label, value in enumerate(finding.values) if value is not None]
    named = [(label, value) for label, value in known if label in finding.flagged]
    axes.axhline(0, color="0.8", lw=0.8)
    axes.plot(*zip(*known, strict=True), "o", color="0.45", ms=4) if known else None
    axes.plot(*zip(*named, strict=True), "o", color="#b3261e", ms=9, mfc="none", mew=1.8) if named else None
    axes.set_title(finding.method, loc="left", fontsize=10)
    axes.set_xlabel("class", fontsize=8)
    axes.set_ylabel(finding.statistic, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.xaxis.get_major_locator().set_params(integer=True)
