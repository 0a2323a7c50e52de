"""How often the 95 % intervals of a report cover the truth, and how often its tests see a difference where none is.

    python benchmarks/coverage.py            # on worlds that had no part in the choice of the rule
    python benchmarks/coverage.py --choose   # rules beside each other, on the worlds that it was chosen by

Some minutes on one core each; ``--repeats 100`` does it roughly. invented_victims.py has the worlds and what the truth
is, interval_rules.py the other rules, docs/findings/statistics.md what came out.
"""

import argparse
from collections.abc import Iterator
from itertools import product

import numpy as np
from interval_rules import OF_DIFFERENCES, OF_SHARES, Figure
from invented_victims import CHOICE, CHOICE_ATTACKS, FRESH, FRESH_ATTACKS, World, with_attacks, with_equal_defenses

from bench.reports.uncertainty.intervals import limits_of_attack, limits_of_average
from bench.reports.uncertainty.ranks import friedman
from bench.reports.uncertainty.samples import Array, Samples
from bench.reports.uncertainty.spread import Rows, spread
from bench.reports.uncertainty.tests import adjusted, p_values

METRICS = ("acc", "asr", "ra", "der")
SEEDS = (1, 2, 3, 5)


def covered(world: World, seeds: int, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    """The share of intervals that cover the truth, by metric, one an attack's row or the average has; all defenses."""
    truth = world.truth()
    hits: dict[str, list[Array]] = {metric: [] for metric in (*METRICS, "difference of DER")}
    for _ in range(repeats):
        samples = world.draw(rng, seeds)
        rows = _all(world, seeds)
        limits = limits_of_average(samples, rows) if len(rows) > 1 else limits_of_attack(samples, 0)
        for metric in METRICS:
            low, high = limits[metric]
            hits[metric].append((low <= truth[metric])[1:] & (truth[metric] <= high)[1:])
        found = spread(samples, "der", rows)
        gap = abs(found.mean[1] - found.mean[2] - (truth["der"][1] - truth["der"][2]))
        hits["difference of DER"].append(np.array([gap <= found.differences().half[1, 2]]))
    return {metric: float(np.mean(own)) for metric, own in hits.items()}


def rejected(world: World, seeds: int, repeats: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often equal defenses are told apart at 5 %: one pair that was chosen before, and the best from any other."""
    pair, best = [], []
    for _ in range(repeats):
        found = spread(world.draw(rng, seeds), "der", _all(world, seeds))
        p = p_values(found.mean[:, None] - found.mean, found.differences())[1:, 1:]
        pair.append(p[0, 1] < 0.05)
        upper = np.triu_indices(len(p), 1)
        corrected = np.ones(p.shape)
        corrected[upper] = adjusted(p[upper])
        corrected = np.minimum(corrected, corrected.T)
        best.append((corrected[int(np.argmax(found.mean[1:]))] < 0.05).any())
    return float(np.mean(pair)), float(np.mean(best))


def compared(world: World, seeds: int, repeats: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """The coverage of each rule: of the ASR and the DER of both defenses, and of the difference of their DER."""
    truth, rows = world.truth(), _all(world, seeds)
    hits: dict[str, dict[str, list[bool]]] = {
        "ASR": {name: [] for name in OF_SHARES},
        "DER": {name: [] for name in OF_SHARES},
        "difference of DER": {name: [] for name in OF_DIFFERENCES},
    }
    for _ in range(repeats):
        samples = world.draw(rng, seeds)
        eligible = samples.image_count("asr", 0, 0)
        for metric in ("asr", "der"):
            found, parts = spread(samples, metric, rows), _parts(samples, metric, rows)
            for column in (1, 2):
                figure = Figure.of(found, samples.figures[metric], parts, column, eligible=eligible)
                for name, rule in OF_SHARES.items():
                    low, high = rule(figure)
                    hits[metric.upper()][name].append(bool(low <= truth[metric][column] <= high))
        figure = Figure.of(found, samples.figures["der"], parts, 1, less=2)
        for name, rule in OF_DIFFERENCES.items():
            low, high = rule(figure)
            hits["difference of DER"][name].append(bool(low <= truth["der"][1] - truth["der"][2] <= high))
    return {what: {name: float(np.mean(own)) for name, own in rules.items()} for what, rules in hits.items()}


def friedman_rejects(victims: int, defenses: int, repeats: int, rng: np.random.Generator) -> float:
    """How often Friedman's test at 5 % tells equal defenses apart."""
    return float(np.mean([friedman(rng.normal(size=(victims, defenses))) < 0.05 for _ in range(repeats)]))


def choice(repeats: int) -> Iterator[str]:
    """The rules beside each other, a line of Markdown tables each."""
    rng = np.random.default_rng(0)
    found = {
        (name, count, seeds): compared(with_attacks(world, CHOICE_ATTACKS[count], seeds), seeds, repeats, rng)
        for (name, world), count, seeds in product(CHOICE.items(), CHOICE_ATTACKS, SEEDS[1:])
    }
    for what, rules in (("ASR", OF_SHARES), ("DER", OF_SHARES), ("difference of DER", OF_DIFFERENCES)):
        yield from _head(f"world, {what}", "attacks", "seeds", *rules)
        for place, own in found.items():
            yield _line(*map(str, place), *own[what].values())


def report(repeats: int) -> Iterator[str]:
    """What a report's own rule does on fresh worlds, a line of Markdown tables each."""
    rng = np.random.default_rng(2)
    yield from _head("world", "attacks", "seeds", *METRICS, "difference of DER")
    places = list(product(FRESH.items(), FRESH_ATTACKS, SEEDS))
    for (name, world), count, seeds in places:
        shares = covered(with_attacks(world, FRESH_ATTACKS[count], seeds), seeds, repeats, rng)
        yield _line(name, str(count), str(seeds), *shares.values())
    yield from _head("world", "attacks", "seeds", "one pair", "highest from any of five")
    for (name, world), count, seeds in places:
        equal = with_equal_defenses(with_attacks(world, FRESH_ATTACKS[count], seeds))
        yield _line(name, str(count), str(seeds), *rejected(equal, seeds, repeats, rng))
    yield from _head("victims", "defenses", "Friedman")
    for victims, defenses in product((5, 12, 30), (3, 5, 10)):
        yield _line(str(victims), str(defenses), friedman_rejects(victims, defenses, 10 * repeats, rng))


def _all(world: World, seeds: int) -> Rows:
    return [(attack, list(range(seeds))) for attack in range(len(world.attacks))]


def _parts(samples: Samples, metric: str, rows: Rows) -> Array:
    """What each image adds to the figures of each victim, (A, S, C, N)."""
    return np.array([[samples.victims[attack, seed].contributions(metric) for seed in seeds] for attack, seeds in rows])


def _head(*titles: str) -> list[str]:
    return ["", _line(*titles), "|" + " --- |" * len(titles)]


def _line(*entries: str | float) -> str:
    return f"| {' | '.join(one if isinstance(one, str) else f'{one:.3f}' for one in entries)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=600)
    parser.add_argument("--choose", action="store_true", help="compare rules on the worlds of the choice")
    asked = parser.parse_args()
    for line in (choice if asked.choose else report)(asked.repeats):
        print(line, flush=True)
