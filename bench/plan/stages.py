"""The stages of a plan: victims, the cells that share them, and benign networks under the victims' triggers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from bench.imported.network import Applied
from bench.plan import evaluation, identity, recipes


@dataclass(frozen=True)
class Ref:
    """A plugin with its parameters, as plain values: any process can create the plugin from it.

    foreign: whether its code is not this project's. places: those of the parameters that only say where something lies.
    fingerprint: of the code that it was made for (``bench.plan.fingerprints``); "" where that does not matter.
    title, bibtex: for papers (``Plugin``).
    """

    kind: str
    name: str
    version: str
    parameters: dict[str, Any]
    label: str
    foreign: bool = False
    places: frozenset[str] = frozenset()
    fingerprint: str = field(default="", compare=False)
    title: str = field(default="", compare=False)
    bibtex: str = field(default="", compare=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What a key contains of the plugin."""
        parameters = {name: value for name, value in self.parameters.items() if name not in self.places}
        return {"name": self.name, "version": self.version, "parameters": parameters}

    @cached_property
    def spelled(self) -> str:
        """Its parameters as records have them, in JSON."""
        return identity.canonical(self.identity["parameters"])


def _codes(refs: Mapping[str, Ref]) -> dict[str, str]:
    return {kind: ref.fingerprint for kind, ref in refs.items() if ref.fingerprint}


@dataclass(frozen=True)
class VictimStage:
    """Poison, train, and predict without a defense.

    evaluate: "test" to predict the test images, "validation" for the part of the training images that is then held out
    (``bench.plan.evaluation``).
    """

    section: ClassVar[Literal["victims"]] = "victims"  # of the store, where the finished stage is

    dataset: Ref
    model: Ref
    attack: Ref
    profile: str
    recipe: str
    seed: int
    evaluate: str = "test"

    @property
    def parents(self) -> "tuple[VictimStage, ...]":
        """The victims that must be in the store before this stage can be made."""
        return ()

    @property
    def counterpart(self) -> str:
        """What a victim and its benign counterpart have in common, and no other: all but the attack."""
        common = self.dataset.identity, self.model.identity, recipes.recipe(self.recipe).identity
        return identity.canonical([*common, self.seed, self.evaluate])

    @cached_property
    def key(self) -> str:
        return identity.key(
            "victim",
            dataset=self.dataset.identity,
            model=self.model.identity,
            attack=self.attack.identity,
            recipe=recipes.recipe(self.recipe).identity,
            seed=self.seed,
            **self._held_out,
        )

    @cached_property
    def data_key(self) -> str:
        """The key of the reference set: of data set and seed alone, so that all attacks have the same."""
        return identity.key("reference", dataset=self.dataset.identity, seed=self.seed, **self._held_out)

    @property
    def _held_out(self) -> dict[str, str]:
        """What a key says of the images that are evaluated: nothing of the test images, as before there were others."""
        return {} if self.evaluate == "test" else {"evaluate": self.evaluate}

    @property
    def setting(self) -> str:
        """Data set and model, and what is evaluated unless it is the test images: a heading."""
        heading = f"{self.dataset.label} × {self.model.label}"
        return ", ".join(filter(None, (heading, evaluation.WORDS[self.evaluate])))

    @property
    def refs(self) -> dict[str, Ref]:
        """The three plugins of the victim, by kind."""
        return {"dataset": self.dataset, "model": self.model, "attack": self.attack}

    @property
    def codes(self) -> dict[str, str]:
        """The fingerprints of its plugins' code, by kind, as the plan saw them."""
        return _codes(self.refs)

    @property
    def title(self) -> str:
        return f"victim {self.dataset.label} {self.model.label} {self.attack.label} seed {self.seed}"


@dataclass(frozen=True)
class ImportedVictim(VictimStage):
    """Predict with a network that was made elsewhere, on test images that were triggered there.

    Its key follows from the content of its files, and from the seed, by which its defenses draw. file: where its files
    are. digest: a hash of what they hold. applied: what its network does to images first. suspects: whether the files
    hold poisoned training images, which suspects are taken from.
    """

    file: Path = field(default=Path(), compare=False)
    digest: str = ""
    applied: Applied | None = None
    suspects: bool = False

    @property
    def counterpart(self) -> str:
        """Its own: how a benign network would have to be trained to be its counterpart is not known."""
        return identity.canonical(["imported", self.key])

    @cached_property
    def key(self) -> str:
        return identity.key(
            "imported victim",
            dataset=self.dataset.identity,
            model=self.model.identity,
            attack=self.attack.identity,
            content=self.digest,
            seed=self.seed,
        )

    @property
    def title(self) -> str:
        return f"victim {self.dataset.label} {self.model.label} {self.attack.label} seed {self.seed}, made elsewhere"

    def lacks(self, cell: "CellStage") -> str | None:
        """Why a cell on it is not applicable, whatever its plugins say; None if it may be."""
        if cell.oracle:
            return "an oracle must know how the victim was trained, and this one was made elsewhere"
        if cell.suspects and not self.suspects:
            return "the victim was made elsewhere, and its file has no poisoned training images to suspect"
        return None


@dataclass(frozen=True)
class CellStage:
    """Defend a victim with one defense, predict, and measure.

    reference, suspects: numbers of images. pairs: whether the suspects come with their clean originals. purity,
    classes: of the suspects, as in ``bench.plan.budget``. told: ``Defense.told``.
    """

    section: ClassVar[Literal["cells"]] = "cells"

    victim: VictimStage
    defense: Ref
    reference: int
    suspects: int
    pairs: bool
    oracle: bool = False
    purity: float = 1.0
    classes: int = 0
    told: str = ""

    @property
    def parents(self) -> tuple[VictimStage, ...]:
        """The victims that must be in the store before this stage can be made."""
        return (self.victim,)

    @cached_property
    def key(self) -> str:
        return identity.key(
            "cell",
            victim=self.victim.key,
            defense=self.defense.identity,
            reference=self.reference,
            suspects=self.suspects,
            **({"draw": {"purity": self.purity, "classes": self.classes}} if self.suspects else {}),
        )

    @property
    def refs(self) -> dict[str, Ref]:
        """The four plugins of the cell, by kind."""
        return {**self.victim.refs, "defense": self.defense}

    @property
    def codes(self) -> dict[str, str]:
        """The fingerprints of its plugins' code, by kind, as the plan saw them."""
        return _codes(self.refs)

    @property
    def words(self) -> dict[str, str]:
        """The columns of a record that this plan has the say in: names of plugins, and what the defender is given."""
        return {f"{kind}_label": ref.label for kind, ref in self.refs.items()} | {"knowledge": self.knowledge}

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a record that identify the cell."""
        victim = self.victim
        return {
            "key": self.key,
            "victim_key": victim.key,
            **{kind: ref.name for kind, ref in self.refs.items()},
            **self.words,
            "titles": json.dumps({kind: ref.title for kind, ref in self.refs.items() if ref.title}),
            "citations": json.dumps({kind: ref.bibtex for kind, ref in self.refs.items() if ref.bibtex}),
            **{f"{kind}_params": ref.spelled for kind, ref in self.refs.items()},
            "profile": victim.profile,
            "recipe": victim.recipe,
            "recipe_params": recipes.spelled(victim.recipe),
            "seed": victim.seed,
            "reference": self.reference,
            "suspects": self.suspects,
            "suspects_purity": self.purity if self.suspects else math.nan,
            "suspects_classes": self.classes if self.suspects else 0,
            "evaluated_on": victim.evaluate,
            "oracle": self.oracle,
        }

    @property
    def title(self) -> str:
        return f"{self.victim.attack.label} × {self.defense.label} seed {self.victim.seed}"

    @property
    def knowledge(self) -> str:
        """What the defender is given, in words."""
        if self.oracle:
            return "everything"
        parts = [f"{self.reference} clean"] if self.reference else []
        parts += [self._suspected] if self.suspects else []
        parts += [self.told] if self.told else []
        return " + ".join(parts) or "nothing"

    @property
    def _suspected(self) -> str:
        parts = [f"{self.suspects} {'pairs' if self.pairs else 'suspected'}"]
        parts += [f"{100 * self.purity:.10g} % triggered"] if self.purity < 1 else []
        parts += [f"of {self.classes} class{'es' * (self.classes > 1)}"] if self.classes else []
        return ", ".join(parts)


@dataclass(frozen=True)
class NaturalStage:
    """Show a benign network the victim's triggered images: what the trigger does to a network that never saw it."""

    section: ClassVar[Literal["natural"]] = "natural"

    victim: VictimStage
    benign: VictimStage

    @property
    def parents(self) -> tuple[VictimStage, ...]:
        """The victims that must be in the store before this stage can be made; last the one whose network it loads."""
        return self.victim, self.benign

    @cached_property
    def key(self) -> str:
        return identity.natural_key(self.victim.key, self.benign.key)

    @property
    def refs(self) -> dict[str, Ref]:
        """The plugins of both victims, by kind; those of the benign one with "benign" before it."""
        return {**self.victim.refs, **{f"benign {kind}": ref for kind, ref in self.benign.refs.items()}}

    @property
    def title(self) -> str:
        return f"{self.victim.attack.label} on the benign network, seed {self.victim.seed}"


def applied_by(victim: VictimStage) -> Applied | None:
    """What is done to images before a victim's architecture; None for one that normalises them itself."""
    return victim.applied if isinstance(victim, ImportedVictim) else None


Stage = VictimStage | CellStage | NaturalStage
