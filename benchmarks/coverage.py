"""How often the 95 % intervals of a report cover the truth, and how often its tests see a difference where none is.

    python benchmarks/coverage.py                 # everything, some minutes on one core
    python benchmarks/coverage.py --repeats 200   # roughly

Results of invented victims are simulated, with images that are harder than others for every network, so that seeds and
attacks share what is hard in the test set. What is covered is the truth over new victims and new images: a mean that is
taken from one very large sample of both. docs/findings/statistics.md has what came out.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench.records.outcomes import Outcomes
from bench.reports.uncertainty.intervals import limits_of_attack, limits_of_average
from bench.reports.uncertainty.quantiles import quantile
from bench.reports.uncertainty.ranks import friedman
from bench.reports.uncertainty.samples import PARTS, Samples
from bench.reports.uncertainty.spread import spread
from bench.reports.uncertainty.tests import adjusted, p_values

METRICS = ("acc", "asr", "ra", "der")
MANY = 20_000  # victims that stand for all


@dataclass(frozen=True)
class World:
    """What victims and images are drawn from: logits of the shares, and how far they vary.

    after: (acc, asr, ra) of each defense, as logits; before: of the undefended network. hard: the standard deviation of
    an image's difficulty, the same for all networks; seeds: of a victim's level; attacks: (A,) how far each attack is
    off.
    """

    before: tuple[float, float, float]
    after: tuple[tuple[float, float, float], ...]
    hard: float
    seeds: float
    attacks: tuple[float, ...] = (0.0,)

    def draw(self, rng: np.random.Generator, seeds: int, images: int) -> Samples:
        """Samples of ``seeds`` victims of each attack on the same test images, a tenth of them of the target class."""
        difficulty = rng.normal(size=(3, images)) * self.hard
        eligible = np.arange(images) % 10 != 0
        found: dict[str, Outcomes] = {}
        columns, names = [self.before, *self.after], list(map(str, range(len(self.after))))
        shape = (len(self.attacks), len(columns), seeds)
        values = {metric: np.full(shape, np.nan) for metric in ("acc", "acc_target", "asr", "ra", "der")}
        for attack, seed in np.ndindex(shape[0], seeds):
            masks = [self._network(rng, column, self.attacks[attack], difficulty) for column in columns]
            for place, own in enumerate(masks):
                values["acc"][attack, place, seed] = own["right"].mean()
                for metric in ("asr", "ra"):
                    values[metric][attack, place, seed] = own[PARTS[metric][0]][eligible].mean()
                known = {**own, "of_target": ~eligible, "eligible": eligible}
                found[f"{attack}-{place}-{seed}"] = Outcomes.of(
                    known | {f"{name}_before": mask for name, mask in masks[0].items()}
                )
            falls = [values[name][attack, :1, seed] - values[name][attack, 1:, seed] for name in ("asr", "acc")]
            values["der"][attack, 1:, seed] = (np.maximum(falls[0], 0) - np.maximum(falls[1], 0) + 1) / 2
        places = np.array([[[f"{a}-{c}-{s}" for s in range(seeds)] for c in range(shape[1])] for a in range(shape[0])])
        count = {metric: np.full((shape[0], seeds), images) for metric in PARTS}
        everyone = np.ones((shape[0], seeds), dtype=bool)
        return Samples(
            [f"attack {a}" for a in range(shape[0])],
            [None, *names],
            list(range(seeds)),
            values,
            everyone,
            count | {"asr": count["asr"] * 9 // 10, "ra": count["ra"] * 9 // 10},
            places.astype(object),
            np.full((shape[0], seeds), "victim", dtype=object),
            lambda key, victim: found[key],
        )

    def _network(
        self, rng: np.random.Generator, levels: tuple[float, ...], attack: float, difficulty: NDArray[np.float64]
    ) -> dict[str, NDArray[np.bool_]]:
        shift = rng.normal(size=3) * self.seeds
        images = difficulty.shape[1]
        shares = [
            expit(level + attack + off - difficulty[part])
            for part, (level, off) in enumerate(zip(levels, shift, strict=True))
        ]
        right, hit, robust = (rng.random(images) < share for share in shares)
        return {"right": right, "hit": hit, "robust": robust}

    def truth(self) -> dict[str, NDArray[np.float64]]:
        """The means over attacks of every metric, by column, over ``MANY`` victims and all images that there can be."""
        rng = np.random.default_rng(2**31)
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        levels = np.array([self.before, *self.after])[:, None, :, None]
        shares = []
        for attack in self.attacks:
            shift = rng.normal(size=(len(levels), MANY, 3, 1)) * self.seeds
            shares.append(expit(levels + attack + shift - nodes * self.hard) @ weights / weights.sum())
        acc, asr, ra = np.moveaxis(np.array(shares), -1, 0)  # (attacks, columns, victims) each
        falls = [np.maximum(one[:, :1] - one, 0) for one in (asr, acc)]
        of_victims = {"acc": acc, "asr": asr, "ra": ra, "der": (falls[0] - falls[1] + 1) / 2}
        return {metric: own.mean(axis=(0, 2)) for metric, own in of_victims.items()}


WORLDS = {
    "middling": World((2.5, 2.0, -2.0), ((2.0, -1.5, 1.0), (1.8, -1.0, 0.5)), hard=1.5, seeds=0.3),
    "seeds differ little": World((2.5, 3.0, -2.0), ((2.0, -2.0, 1.0), (1.8, -1.0, 0.5)), hard=2.0, seeds=0.05),
    "near the ends": World((4.5, 6.0, -4.0), ((4.2, -4.5, 3.0), (3.8, -4.0, 3.0)), hard=1.0, seeds=0.3),
}


def covered(world: World, seeds: int, images: int, repeats: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """The share of intervals that cover the truth, by metric, one an attack's row or the average has; all defenses."""
    truth = world.truth()
    hits: dict[str, list[NDArray[np.bool_]]] = {metric: [] for metric in (*METRICS, "difference of DER")}
    for _ in range(repeats):
        samples = world.draw(rng, seeds, images)
        rows = [(attack, list(range(seeds))) for attack in range(len(world.attacks))]
        limits = limits_of_average(samples, rows) if len(rows) > 1 else limits_of_attack(samples, 0)
        for metric in METRICS:
            low, high = limits[metric]
            hits[metric].append((low <= truth[metric])[1:] & (truth[metric] <= high)[1:])
        found = spread(samples, "der", rows)
        errors = found.differences()
        gap = abs(found.mean[1] - found.mean[2] - (truth["der"][1] - truth["der"][2]))
        hits["difference of DER"].append(np.array([gap <= quantile(errors.df[1, 2]) * errors.se[1, 2]]))
    return {metric: float(np.mean(own)) for metric, own in hits.items()}


def bootstrap_covered(world: World, seeds: int, images: int, repeats: int, rng: np.random.Generator) -> float:
    """The same of the percentile bootstrap over seeds, for ASR: what a report does not use."""
    truth, hits = world.truth()["asr"], []
    for _ in range(repeats):
        own = world.draw(rng, seeds, images).figures["asr"][:, 1:]  # (attacks, defenses, seeds)
        chosen = rng.integers(seeds, size=(500, seeds))
        means = own[..., chosen].mean(axis=(0, -1))  # (defenses, replicates)
        low, high = np.quantile(means, [0.025, 0.975], axis=1)
        hits.append((low <= truth[1:]) & (truth[1:] <= high))
    return float(np.mean(hits))


def rejected(world: World, seeds: int, images: int, repeats: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often equal defenses are told apart at 5 %: one pair that was chosen before, and the best from any other."""
    pair, best = [], []
    for _ in range(repeats):
        samples = world.draw(rng, seeds, images)
        rows = [(attack, list(range(seeds))) for attack in range(len(world.attacks))]
        found = spread(samples, "der", rows)
        errors = found.differences()
        p = p_values(found.mean[:, None] - found.mean, errors.se, errors.df)[1:, 1:]
        pair.append(p[0, 1] < 0.05)
        upper = np.triu_indices(len(p), 1)
        corrected = np.ones(p.shape)
        corrected[upper] = adjusted(p[upper])
        corrected = np.minimum(corrected, corrected.T)
        best.append((corrected[int(np.argmax(found.mean[1:]))] < 0.05).any())
    return float(np.mean(pair)), float(np.mean(best))


def friedman_rejects(victims: int, defenses: int, repeats: int, rng: np.random.Generator) -> float:
    """How often Friedman's test at 5 % tells equal defenses apart."""
    return float(np.mean([friedman(rng.normal(size=(victims, defenses))) < 0.05 for _ in range(repeats)]))


EQUAL = World((2.5, 2.0, -2.0), ((2.0, -1.5, 1.0),) * 5, hard=1.5, seeds=0.3)
ATTACKS = {1: (0.0,), 4: (-0.5, 0.0, 0.3, 0.6)}


def lines(repeats: int) -> Iterator[str]:
    """What is measured, a line of a Markdown table each."""
    rng = np.random.default_rng(0)
    yield f"| world | attacks | seeds | {' | '.join(METRICS)} | difference of DER | bootstrap, ASR |"
    yield "|" + " --- |" * (5 + len(METRICS))
    for name, world in WORLDS.items():
        for count, seeds in product(ATTACKS, (1, 2, 3, 5)):
            own = replace(world, attacks=ATTACKS[count], seeds=world.seeds * (seeds > 1))
            shares = covered(own, seeds, 500, repeats, rng)
            other = f"{bootstrap_covered(own, seeds, 500, repeats, rng):.3f}" if seeds > 1 else "–"
            yield f"| {name} | {count} | {seeds} | {' | '.join(f'{one:.3f}' for one in shares.values())} | {other} |"
    yield "\n| attacks | seeds | one pair | best from any of five |\n| --- | --- | --- | --- |"
    for count, seeds in product(ATTACKS, (1, 2, 3, 5)):
        own = replace(EQUAL, attacks=ATTACKS[count], seeds=EQUAL.seeds * (seeds > 1))
        pair, best = rejected(own, seeds, 500, repeats, rng)
        yield f"| {count} | {seeds} | {pair:.3f} | {best:.3f} |"
    yield "\n| victims | defenses | Friedman |\n| --- | --- | --- |"
    for victims, defenses in product((5, 12, 30), (3, 5, 10)):
        yield f"| {victims} | {defenses} | {friedman_rejects(victims, defenses, 10 * repeats, rng):.3f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    for line in lines(parser.parse_args().repeats):
        print(line, flush=True)
