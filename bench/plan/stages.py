"""The stages that a plan consists of: victims, and the cells that share them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from bench.plan import identity, recipes


@dataclass(frozen=True)
class Ref:
    """A plugin with its parameters, as plain values that any process can make it from again."""

    kind: str
    name: str
    version: str
    parameters: dict[str, Any]
    label: str

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "parameters": self.parameters}


@dataclass(frozen=True)
class VictimStage:
    """Poison, train, and predict without a defense."""

    section: ClassVar[Literal["victims"]] = "victims"  # of the store: where it lies when it is made

    dataset: Ref
    model: Ref
    attack: Ref
    profile: str
    recipe: str
    seed: int

    @cached_property
    def key(self) -> str:
        return identity.key(
            "victim",
            dataset=self.dataset.identity,
            model=self.model.identity,
            attack=self.attack.identity,
            recipe=recipes.recipe(self.recipe).identity,
            seed=self.seed,
        )

    @cached_property
    def data_key(self) -> str:
        """What the reference split depends on: the data set and the seed, so that it is the same for all attacks."""
        return identity.key("reference", dataset=self.dataset.identity, seed=self.seed)

    @property
    def refs(self) -> dict[str, Ref]:
        """The plugins of the victim, by kind."""
        return {"dataset": self.dataset, "model": self.model, "attack": self.attack}

    @property
    def title(self) -> str:
        return f"victim {self.dataset.label} {self.model.label} {self.attack.label} seed {self.seed}"


@dataclass(frozen=True)
class CellStage:
    """Defend a victim with one defense, and predict."""

    section: ClassVar[Literal["cells"]] = "cells"

    victim: VictimStage
    defense: Ref
    reference: int
    suspects: int
    pairs: bool
    oracle: bool = False

    @cached_property
    def key(self) -> str:
        return identity.key(
            "cell",
            victim=self.victim.key,
            defense=self.defense.identity,
            reference=self.reference,
            suspects=self.suspects,
        )

    @property
    def refs(self) -> dict[str, Ref]:
        """The four plugins of the cell, by kind."""
        return {**self.victim.refs, "defense": self.defense}

    @property
    def labels(self) -> dict[str, str]:
        """The columns of a record that say by which names this plan asks for the plugins."""
        return {f"{kind}_label": ref.label for kind, ref in self.refs.items()}

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a record that say which cell it is."""
        victim = self.victim
        return {
            "key": self.key,
            "victim_key": victim.key,
            **{kind: ref.name for kind, ref in self.refs.items()},
            **self.labels,
            **{f"{kind}_params": identity.canonical(ref.parameters) for kind, ref in self.refs.items()},
            "profile": victim.profile,
            "recipe": victim.recipe,
            "seed": victim.seed,
            "reference": self.reference,
            "suspects": self.suspects,
            "knowledge": self.knowledge,
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
        parts += [f"{self.suspects} {'pairs' if self.pairs else 'suspected'}"] if self.suspects else []
        return " + ".join(parts) or "nothing"


Stage = VictimStage | CellStage
