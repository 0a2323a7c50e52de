"""Invented victims with known truth: worlds that coverage.py draws the results of reports from.

Images are harder than others for every network, so that seeds and attacks share what is hard in the test set. The truth
is over new victims and new images: a mean that is taken from one very large sample of both.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench.records.outcomes import Outcomes
from bench.reports.uncertainty.samples import PARTS, Samples

MANY = 10_000  # victims that stand for all


@dataclass(frozen=True)
class World:
    """What victims and images are drawn from: logits of the shares, and how far they vary.

    after: (acc, asr, ra) of each defense, as logits; before: of the undefended network. hard: the standard deviation of
    an image's difficulty, the same for all networks; seeds: of a victim's level, times that of each attack in
    ``uneven``; attacks: (A,) how far each attack is off. images: the number of test images. peaked: levels vary by
    Laplace's distribution and not by the normal one.
    """

    before: tuple[float, float, float]
    after: tuple[tuple[float, float, float], ...]
    hard: float
    seeds: float
    attacks: tuple[float, ...] = (0.0,)
    images: int = 500
    peaked: bool = False
    uneven: tuple[float, ...] = (1.0,)

    def draw(self, rng: np.random.Generator, seeds: int) -> Samples:
        """Samples of ``seeds`` victims of each attack on the same test images, a tenth of them of the target class."""
        images = self.images
        difficulty = rng.normal(size=(3, images)) * self.hard
        eligible = np.arange(images) % 10 != 0
        found: dict[str, Outcomes] = {}
        columns, names = [self.before, *self.after], list(map(str, range(len(self.after))))
        shape = (len(self.attacks), len(columns), seeds)
        values = {metric: np.full(shape, np.nan) for metric in ("acc", "acc_target", "asr", "ra", "der")}
        for attack, seed in np.ndindex(shape[0], seeds):
            masks = [self._network(rng, column, attack, difficulty) for column in columns]
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
        self, rng: np.random.Generator, levels: tuple[float, ...], attack: int, difficulty: NDArray[np.float64]
    ) -> dict[str, NDArray[np.bool_]]:
        shift = self._shifts(rng, (3,), attack)
        images = difficulty.shape[1]
        shares = [
            expit(level + self.attacks[attack] + off - difficulty[part])
            for part, (level, off) in enumerate(zip(levels, shift, strict=True))
        ]
        right, hit, robust = (rng.random(images) < share for share in shares)
        return {"right": right, "hit": hit, "robust": robust}

    def _shifts(self, rng: np.random.Generator, shape: tuple[int, ...], attack: int) -> NDArray[np.float64]:
        drawn = rng.laplace(scale=0.5**0.5, size=shape) if self.peaked else rng.normal(size=shape)
        return drawn * self.seeds * self.uneven[attack % len(self.uneven)]

    @cache  # noqa: B019 - worlds are few
    def truth(self) -> dict[str, NDArray[np.float64]]:
        """The means over attacks of every metric, by column, over ``MANY`` victims and all images that there can be."""
        rng = np.random.default_rng(2**31)
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        levels = np.array([self.before, *self.after])[:, None, :, None]
        shares = []
        for place, attack in enumerate(self.attacks):
            shift = self._shifts(rng, (len(levels), MANY, 3, 1), place)
            shares.append(expit(levels + attack + shift - nodes * self.hard) @ weights / weights.sum())
        acc, asr, ra = np.moveaxis(np.array(shares), -1, 0)  # (attacks, columns, victims) each
        falls = [np.maximum(one[:, :1] - one, 0) for one in (asr, acc)]
        of_victims = {"acc": acc, "asr": asr, "ra": ra, "der": (falls[0] - falls[1] + 1) / 2}
        return {metric: own.mean(axis=(0, 2)) for metric, own in of_victims.items()}


CHOICE = {
    "middling": World((2.5, 2.0, -2.0), ((2.0, -1.5, 1.0), (1.8, -1.0, 0.5)), hard=1.5, seeds=0.3),
    "seeds differ little": World((2.5, 3.0, -2.0), ((2.0, -2.0, 1.0), (1.8, -1.0, 0.5)), hard=2.0, seeds=0.05),
    "near the ends": World((4.5, 6.0, -4.0), ((4.2, -4.5, 3.0), (3.8, -4.0, 3.0)), hard=1.0, seeds=0.3),
    "seeds differ strongly": World((2.5, 2.0, -2.0), ((2.0, -4.5, 0.0), (1.0, -2.2, 0.5)), hard=1.0, seeds=1.0),
    "rare, seeds far apart": World(
        (3.5, 5.0, -4.5), ((3.3, -5.0, 2.8), (3.0, -3.5, 2.2)), hard=1.4, seeds=0.9, images=600, peaked=True
    ),
}
"""Worlds that rules were compared on, and chosen by."""
FRESH = {
    "ordinary": World(
        (2.6, 3.6, -2.5), ((2.3, -2.8, 1.5), (2.1, -2.2, 1.2)), hard=1.3, seeds=0.35, images=350, uneven=(0.6, 1.4, 1.0)
    ),
    "half works": World((1.5, 2.0, -1.0), ((1.2, 0.1, 0.4), (1.1, -0.6, 0.3)), hard=0.7, seeds=0.25, images=700),
    "seeds almost alike": World(
        (2.2, 4.0, -2.0), ((1.9, -2.1, 1.1), (1.7, -1.5, 0.8)), hard=2.2, seeds=0.12, images=450
    ),
    "seeds far apart": World(
        (3.8, 4.5, -4.0), ((3.6, -4.7, 3.0), (3.2, -3.8, 2.4)), hard=1.6, seeds=0.8, images=550, peaked=True
    ),
}
"""Worlds that had no part in the choice: with other shares, difficulties, numbers of images and distributions."""
CHOICE_ATTACKS = {1: (0.0,), 4: (-0.5, 0.0, 0.3, 0.6)}
FRESH_ATTACKS = {1: (-0.1,), 5: (-0.9, -0.3, 0.2, 0.4, 0.9)}


def with_equal_defenses(world: World, defenses: int = 5) -> World:
    """The world with ``defenses`` of its first defense, none of which is better than another."""
    return replace(world, after=world.after[:1] * defenses)


def with_attacks(world: World, attacks: tuple[float, ...], seeds: int) -> World:
    """The world with these attacks. With one seed its victims do not vary, since one seed tells of itself alone."""
    return replace(world, attacks=attacks, seeds=world.seeds * (seeds > 1))
