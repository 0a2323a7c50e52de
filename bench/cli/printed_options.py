"""Options that say what is printed or drawn, and neither what is compared nor how it is run."""

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

_PRINTED = Group("What is printed", sort_key=99)
WithInvalid = Annotated[
    bool,
    Parameter(
        negative="",
        group=_PRINTED,
        show_default=False,
        help="Let attacks that did not work, marked with a dagger, count in averages.",
    ),
]
Order = Annotated[
    str,
    Parameter(
        group=_PRINTED,
        help="Order of attacks and defenses: name; given, as they are selected; or der, best defenses and hardest "
        "attacks first. Defenses stay with those that were given the same.",
    ),
]
Rename = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        group=_PRINTED,
        show_default=False,
        help="Display names, repeatable: mine=Ours,badnets=BadNets,'tac[paper]=TAC (published)'.",
    ),
]
Metrics = Annotated[
    str | None,
    Parameter(
        group=_PRINTED,
        show_default=False,
        help="Columns of the main table, in their order: acc, acc_target, asr, ra and der (default: all).",
    ),
]
Rows = Annotated[
    str,
    Parameter(
        group=_PRINTED, help="What the rows of the main table are, in formats that know both: attacks or defenses."
    ),
]
Long = Annotated[
    bool,
    Parameter(
        negative="",
        group=_PRINTED,
        show_default=False,
        help="Print every metric of every pair, also where there are more than 40 of an attack and a defense.",
    ),
]
Quiet = Annotated[
    bool,
    Parameter(
        negative="", group=_PRINTED, show_default=False, help="Print the table and what failed, and no progress."
    ),
]
Verbose = Annotated[
    bool, Parameter(negative="", group=_PRINTED, show_default=False, help="Say also when a stage begins, and where.")
]
Log = Annotated[
    Path | None,
    Parameter(
        name="--log",
        group=_PRINTED,
        show_default=False,
        help="Append what is said during the run to this file, every line with its time.",
    ),
]
AsJson = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        group=_PRINTED,
        show_default=False,
        help="Print JSON, for programs; docs/running.md lists its fields.",
    ),
]
Figures = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        group=_PRINTED,
        show_default=False,
        help="A sweep to draw beside the usual figures, repeatable: sweep:beta or sweep:tac.beta for any parameter, "
        "sweep:reference and sweep:suspects for what a defender is given.",
    ),
]
Published = Annotated[
    bool,
    Parameter(
        negative="",
        group=_PRINTED,
        show_default=False,
        help="Put published figures beside the measured ones, with the difference, where data set, architecture, "
        "attack and defense agree.",
    ),
]
Against = Annotated[
    str,
    Parameter(
        group=_PRINTED,
        show_default=False,
        help="A defense that all others are compared with, beside the best of those that were given the same.",
    ),
]
LatexWidth = Annotated[
    float | None,
    Parameter(
        group=_PRINTED,
        show_default=False,
        help="How wide the text of your paper's page is, in centimetres, for the tables in LaTeX (default: 12.1, which "
        "fits article, LNCS and every wider class).",
    ),
]
LatexColumns = Annotated[
    int | None,
    Parameter(
        group=_PRINTED,
        show_default=False,
        help="How many columns your paper has, 1 or 2, for the tables in LaTeX (default: as fits both).",
    ),
]
