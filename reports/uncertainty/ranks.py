"""Ranks over victims: which defense does best how often, and whether that is more than chance."""

from dataclasses import dataclass
from math import isnan

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata, wilcoxon

from bench.reports.blocks import Block
from bench.reports.format import UNDEFINED
from bench.reports.knowledge import Group
from bench.reports.side_table import SideTable
from bench.reports.stats import DECIMALS
from bench.reports.uncertainty.quantiles import quantile
from bench.reports.uncertainty.samples import Array

FEWEST_VICTIMS, FEWEST_SEEDS = 5, 3
ALPHA = 0.05
_RULE = "A defense is left out where more results, defenses times victims, can be ranked without it"
_NOTE = (
    "Ranks of DER among defenses that were given the same, 1 the best, as means over the victims that all of them have "
    "results for; from five victims on with 95 % intervals over them. Won, tied, lost: against each of the others on "
    "each victim, with one decimal. Mean DER, lowest DER and highest ASR: over these same victims; the latter two over "
    "their attacks, of the means over seeds."
)


@dataclass(frozen=True)
class Ranking:
    """DER of the ``defenses`` of a group, (victims, defenses), on the ``victims`` that all of them have a DER for.

    victims are places of attacks and seeds in the block's samples, some of the ``counted`` that count in averages.
    left_out: the defenses that have a DER and are not ranked, with their numbers of victims (``most_results``).
    """

    defenses: list[str]
    ratings: Array
    victims: list[tuple[int, int]]
    counted: int
    left_out: dict[str, int]

    @property
    def ranks(self) -> Array:
        """Of each victim, from 1, the highest DER; equals share the mean of their ranks."""
        return np.asarray(rankdata(-np.round(100 * self.ratings, DECIMALS), axis=1))

    @property
    def testable(self) -> bool:
        """Whether there are victims enough, and defenses enough, for Friedman's test."""
        return len(self.ratings) >= FEWEST_VICTIMS and len(self.defenses) > 2

    @property
    def p(self) -> float:
        """Friedman's p value that no defense is better than another."""
        return friedman(np.round(100 * self.ratings, DECIMALS))


def ranking(block: Block, group: Group) -> Ranking | None:
    """The ranking of a group; None where no two defenses have a DER for the same victim."""
    if not group.ranked or block.samples is None:
        return None
    own = block.samples.figures["der"]
    at = {name: block.samples.columns.index(name) for name in group.defenses}
    victims = [(attack, seed) for attack, seeds in block.averaged for seed in seeds]
    if not victims:
        return None
    ratings = np.array([own[attack, list(at.values()), seed] for attack, seed in victims])
    present = ~np.isnan(ratings)
    chosen = most_results(present)
    if not chosen:
        return None
    names = list(at)
    rows = np.flatnonzero(present[:, chosen].all(axis=1))
    left_out = {name: int(present[:, place].sum()) for place, name in enumerate(names) if place not in chosen}
    return Ranking(
        [names[place] for place in chosen],
        ratings[rows][:, chosen],
        [victims[row] for row in rows],
        len(victims),
        {name: count for name, count in left_out.items() if count},
    )


def most_results(present: Array) -> list[int]:
    """The columns to rank of results that are ``present`` (victims, defenses) bool; none where no two share a victim.

    Friedman's test and Nemenyi's take complete blocks: every defense on every victim (Demšar, JMLR 7 (2006)). So a
    defense with few results takes from all others the victims that it lacks. One defense after another is dropped, each
    time the one without which most victims are in common, and of all these sets that with the most results is taken.
    """
    columns = np.flatnonzero(present.any(axis=0)).tolist()
    best, most = list[int](), 0
    while len(columns) > 1:
        own = present[:, columns]
        if (results := len(columns) * int(own.all(axis=1).sum())) > most:
            best, most = list(columns), results
        lacking = (~own).sum(axis=1)
        gained = ((lacking == 1)[:, None] & ~own).sum(axis=0)  # victims that only this one lacks
        columns.pop(max(range(len(columns)), key=lambda place: (gained[place], -own[:, place].sum())))
    return best


def ranks_table(block: Block) -> SideTable:
    """A line for each defense of each group that is ranked, best mean rank first.

    Where several groups are ranked, a column says what each defense was given: their ranks are not comparable.
    """
    ranked = [(group, found) for group in block.groups if (found := ranking(block, group))]
    heads = ["defense", "lowest DER by", "highest ASR by", "victims", "mean rank", "won, tied, lost"]
    heads += ["mean DER", "lowest DER", "highest ASR"]
    several = len(ranked) > 1
    heads[1:1] = ["ranked among"] * several
    lines, notes = [], [_NOTE]
    for group, found in ranked:
        lines += [[name, *[group.heading] * several, *rest] for name, *rest in _lines(block, found)]
        notes.append(f"{group.heading[0].upper()}{group.heading[1:]}: {tested(found)}{_lacking(found)}")
    notes.append(enough(block))
    return SideTable("Ranks", heads, lines, 3 + several, " ".join(filter(None, notes)))


def _lacking(found: Ranking) -> str:
    """Which victims and which defenses are not in the ranks; "" where all are."""
    text = ""
    if len(found.victims) < found.counted:
        text += f" Ranked on {len(found.victims)} of {found.counted} victims, those that all of these have results for."
    if found.left_out:
        names = ", ".join(f"{name} ({count} of {found.counted} victims)" for name, count in found.left_out.items())
        text += f" {_RULE}: {names}."
    return text


def tested(found: Ranking) -> str:
    """What a test says of a group's ranks, in one sentence."""
    count = len(found.ratings)
    if len(found.defenses) == 2:
        gaps = np.round(100 * (found.ratings[:, 0] - found.ratings[:, 1]), DECIMALS)
        if count < FEWEST_VICTIMS + 1 or not gaps.any():
            return f"{count} victim{'s' * (count != 1)} tell too little for Wilcoxon's signed-rank test."
        return f"Wilcoxon's signed-rank test over {count} victims: {_p_text(float(wilcoxon(gaps).pvalue))}."
    if not found.testable:
        return f"Friedman's test takes {FEWEST_VICTIMS} victims, here are {count}."
    text = f"Friedman's test over {count} victims: {_p_text(found.p)}"
    if not found.p <= ALPHA:
        return f"{text}: no defense can be told from another."
    return f"{text}; mean ranks differ by Nemenyi's test if they are {critical_difference(found):.2f} apart."


def friedman(values: Array) -> float:
    """The p value of Friedman's test for values (blocks, treatments), 1 where all are equal."""
    if (values == values[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*values.T).pvalue)


def critical_difference(found: Ranking) -> float:
    """Nemenyi's critical difference of mean ranks at 5 %. Demšar, JMLR 7 (2006)."""
    from scipy.stats import studentized_range

    victims, defenses = found.ratings.shape
    q = float(studentized_range.ppf(1 - ALPHA, defenses, np.inf)) / 2**0.5
    return float(q * (defenses * (defenses + 1) / (6 * victims)) ** 0.5)


def nemenyi(found: Ranking) -> pd.DataFrame:
    """Nemenyi's p values between any two defenses, after Friedman's test; (defenses, defenses)."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    p: pd.DataFrame = posthoc_nemenyi_friedman(np.round(100 * found.ratings, DECIMALS))
    return p


def enough(block: Block) -> str:
    """What too few victims or seeds leave unsaid, in one line; "" where there are enough."""
    victims = sum(len(seeds) for _, seeds in block.averaged)
    seeds = len(block.seeds)
    if victims >= FEWEST_VICTIMS and seeds >= FEWEST_SEEDS:
        return ""
    few = f"{victims} victim{'s' * (victims != 1)} and {seeds} seed{'s' * (seeds != 1)}"
    said = "what is said here is of these networks"
    unsaid = "not how far others with other seeds would differ" if seeds < FEWEST_SEEDS else "not of other attacks"
    return f"With {few}, fewer than {FEWEST_VICTIMS} and {FEWEST_SEEDS}, {said}, {unsaid}."


def _lines(block: Block, found: Ranking) -> list[list[str]]:
    ranks = found.ranks
    mean = ranks.mean(axis=0)
    count, enough_victims = len(ranks), len(ranks) >= FEWEST_VICTIMS
    half = (
        quantile(count - 1) * ranks.std(axis=0, ddof=1) / count**0.5 if enough_victims else np.full(len(mean), np.nan)
    )
    rounded = np.round(100 * found.ratings, DECIMALS)
    lines = []
    for place in np.argsort(mean, kind="stable"):
        gaps = rounded[:, [place]] - np.delete(rounded, place, axis=1)
        name = found.defenses[place]
        text = f"{mean[place]:.2f}"
        if not isnan(half[place]):
            text += f" [{max(1, mean[place] - half[place]):.2f}, {min(len(mean), mean[place] + half[place]):.2f}]"
        record = f"{(gaps > 0).sum()}, {(gaps == 0).sum()}, {(gaps < 0).sum()}"
        attacks, worst = zip(*(_worst(block, found.victims, name, metric) for metric in ("der", "asr")), strict=True)
        lines.append([name, *attacks, str(count), text, record, f"{100 * found.ratings[:, place].mean():.1f}", *worst])
    return lines


def _worst(block: Block, victims: list[tuple[int, int]], defense: str, metric: str) -> tuple[str, str]:
    """The attack with the lowest DER, or the highest ASR, of those of ``victims``, and the figure; none where it is not
    known of one of these."""
    assert block.samples is not None
    column = block.samples.columns.index(defense)
    of_attack: dict[str, list[float]] = {}
    for attack, seed in victims:
        figure = float(block.samples.figures[metric][attack, column, seed])
        of_attack.setdefault(block.samples.attacks[attack], []).append(figure)
    means = {attack: float(np.mean(figures)) for attack, figures in of_attack.items()}
    if any(map(isnan, means.values())):
        return UNDEFINED, UNDEFINED
    worst: str = (min if metric == "der" else max)(means, key=lambda name: means[name])
    return worst, f"{100 * means[worst]:.1f}"


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
