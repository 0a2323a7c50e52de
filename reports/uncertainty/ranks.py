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
_NOTE = (
    "Ranks of DER among defenses that were given the same, 1 the best, as means over the victims that all of them have "
    "results for; from five victims on with 95 % intervals over them. Won, tied, lost: against each of the others on "
    "each victim, with one decimal. Lowest and highest: over attacks, of the means over seeds."
)


@dataclass(frozen=True)
class Ranking:
    """DER of the ``defenses`` of a group, (victims, defenses), on the victims that all of them have a DER for."""

    defenses: list[str]
    ratings: Array

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
    """The ranking of a group; None where fewer than two defenses have a DER, or no victim has all of theirs."""
    if not group.ranked or block.samples is None:
        return None
    own = block.samples.figures["der"]
    names = [name for name in group.defenses if not np.isnan(own[:, block.samples.columns.index(name)]).all()]
    columns = [block.samples.columns.index(name) for name in names]
    if len(names) < 2:
        return None
    victims = np.array([own[attack, columns, seed] for attack, seeds in block.averaged for seed in seeds])
    victims = victims.reshape(-1, len(columns))
    victims = victims[~np.isnan(victims).any(axis=1)]
    return Ranking(names, victims) if len(victims) else None


def ranks_table(block: Block) -> SideTable:
    """A line for each defense of each group that is ranked, best mean rank first."""
    lines, notes = [], [_NOTE]
    for group in block.groups:
        if found := ranking(block, group):
            lines += _lines(block, found)
            notes.append(f"{group.heading[0].upper()}{group.heading[1:]}: {tested(found)}")
    notes.append(enough(block))
    heads = ["defense", "lowest DER by", "highest ASR by", "victims", "mean rank", "won, tied, lost"]
    heads += ["mean DER", "lowest DER", "highest ASR"]
    return SideTable("Ranks", heads, lines, 3, " ".join(filter(None, notes)))


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
        attacks, worst = zip(*(_worst(block, name, metric) for metric in ("der", "asr")), strict=True)
        lines.append([name, *attacks, str(count), text, record, f"{100 * found.ratings[:, place].mean():.1f}", *worst])
    return lines


def _worst(block: Block, defense: str, metric: str) -> tuple[str, str]:
    """The attack with the lowest DER, or the highest ASR, of those that count, and the figure."""
    counted = [block.samples.attacks[attack] for attack, _ in block.averaged] if block.samples else []
    means = {attack: block.cells[attack, defense].stat(metric).mean for attack in counted}
    known = {attack: mean for attack, mean in means.items() if not isnan(mean)}
    if not known:
        return UNDEFINED, UNDEFINED
    attack = (min if metric == "der" else max)(known, key=lambda name: known[name])
    return attack, f"{100 * known[attack]:.1f}"


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
