"""How the intervals of a block were made, in words."""

from bench.reports.blocks import AVERAGE, Block
from bench.reports.records import RANKED

_SEEDS = "from the spread over the seeds of each attack, with Student's quantiles"
_FORM = "They have Wilson's form, which stays between 0 and 100 %."
_IMAGES = "the test images, whose outcomes are paired across seeds, attacks and defenses"


def how_made(block: Block) -> list[str]:
    """A sentence for each kind of figure: from what its interval was made, and what has none."""
    several, known = len(block.seeds) > 1, bool(block.samples and block.samples.victims)
    if several and known:
        lines = [f"95 % intervals: {_SEEDS}, and from {_IMAGES}: for other seeds and other images. {_FORM}"]
    elif several:
        lines = [
            f"95 % intervals: {_SEEDS}, for these test images. {_FORM}",
            "Average: attacks as they are, seeds vary.",
        ]
    elif known:
        others = f"; of {' and '.join(_no_shares(block))} from {_IMAGES}" * bool(_no_shares(block))
        lines = [f"95 % intervals: of shares Wilson's{others}. For this one seed."]
    else:
        lines = ["95 % intervals: of shares Wilson's, from the number of test images, for this one seed."]
        if without := " and ".join(_no_shares(block)):
            have = "has" if without == "DER" else "have"
            lines.append(f"{without[0].upper()}{without[1:]} {have} none: that takes the stored predictions.")
    if several:
        lines.append("A share with one seed, or alike in all, has that of its images alone.")
    if len(block.seeds) == 2:
        lines.append("Two seeds tell little of the spread, so these intervals are wide.")
    return lines


def _no_shares(block: Block) -> list[str]:
    """What the block shows that is no share of test images."""
    return ["DER"] * (RANKED in block.metrics) + ["averages"] * (AVERAGE in block.row_names)


def how_marked(block: Block) -> str:
    """What else is marked as best, beside the highest DER."""
    if not block.samples or not block.samples.victims:
        return ""
    few = {1: " With one seed: on these networks, by the test images alone.", 2: " Two seeds tell little apart."}
    marked = "Also marked: what cannot be told from it at 5 % (paired, Holm's correction for all pairs)."
    return marked + few.get(len(block.seeds), "")
