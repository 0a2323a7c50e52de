"""Options that say what is printed or drawn, and neither what is compared nor how it is run."""

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
