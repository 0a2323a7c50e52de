"""What a stored victim is made of, as its ``stage.json`` says or, of an older one, the record of one of its cells."""

import json
from dataclasses import dataclass
from typing import Any

from bench.errors import RequestError, one_line
from bench.export.sources import Source
from bench.imported.network import Applied
from bench.plan.registry import Registry
from bench.plan.stages import Ref, VictimStage
from bench.plugin.base import Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.values import ImageSpec
from bench.records import Record
from bench.store.facts import Images

KINDS = ("dataset", "model", "attack")


@dataclass(frozen=True)
class Origin:
    """Names and parameters of a victim's plugins by kind; recipe, seed and profile; images, where they are recorded."""

    names: dict[str, str]
    labels: dict[str, str]
    parameters: dict[str, dict[str, Any]]
    recipe: str
    seed: int
    profile: str
    evaluated_on: str
    images: Images | None = None

    def plugin(self, kind: str, registry: Registry) -> Plugin:
        """One of its plugins. Raises RequestError if it is not there, or does not take these parameters."""
        return registry.create(kind, self.names[kind], self.parameters[kind])

    def spec(self, registry: Registry) -> ImageSpec:
        """What its images are. Raises RequestError where nothing of an older victim says it."""
        if self.images is not None:
            images = self.images
            size = images.channels, images.height, images.width, images.classes
            return ImageSpec(*size, mean=tuple(images.mean), std=tuple(images.std))
        dataset = self.plugin("dataset", registry)
        assert isinstance(dataset, Dataset)
        with registry.asking("dataset", dataset.name, "spec"):
            return dataset.spec

    @property
    def applied(self) -> Applied | None:
        """What is done to images before the architecture of a victim that was made elsewhere."""
        if self.images is None or not self.images.order:
            return None
        return Applied(tuple(self.images.mean), tuple(self.images.std), self.images.order)

    def stage(self, registry: Registry, key: str) -> VictimStage:
        """The stage of the victim ``key``, which was trained here.

        Raises RequestError for one that was not, and where the installed plugins would make another one.
        """
        if self.applied is not None:
            raise RequestError(
                f"export {key[:12]}: this victim was made elsewhere, and its files hold what it was trained on"
            )
        refs = {kind: self._ref(kind, registry) for kind in KINDS}
        parts = refs["dataset"], refs["model"], refs["attack"]
        stage = VictimStage(*parts, self.profile, self.recipe, self.seed, self.evaluated_on)
        if stage.key != key:
            versions = ", ".join(f"{kind} {ref.name} version {ref.version}" for kind, ref in refs.items())
            raise RequestError(f"export {key[:12]}: the plugins of now make another victim than this one: {versions}")
        return stage

    def _ref(self, kind: str, registry: Registry) -> Ref:
        plugin, name = self.plugin(kind, registry), self.names[kind]
        version, foreign = registry.version(kind, name), not registry.entry(kind, name).is_built_in
        return Ref(kind, name, version, plugin.model_dump(mode="json"), self.labels[kind], foreign, plugin.places)


def origin(source: Source) -> Origin:
    """What the victim of ``source`` is made of. Raises RequestError where nothing in the store says it."""
    if (made := source.facts.made_of) is not None:
        parts = {kind: getattr(made, kind) for kind in KINDS}
        return Origin(
            {kind: part.name for kind, part in parts.items()},
            {kind: part.label for kind, part in parts.items()},
            {kind: part.parameters for kind, part in parts.items()},
            made.recipe.name,
            made.seed,
            made.profile,
            made.evaluated_on,
            made.images,
        )
    record = source.record or _record_on(source)
    if record is None:
        raise RequestError(
            f"export {source.key[:12]}: this victim was made before its folder said what it is made of, and the store "
            "has no cell on it that does"
        )
    return Origin(
        {kind: getattr(record, kind) for kind in KINDS},
        {kind: getattr(record, f"{kind}_label") for kind in KINDS},
        {kind: _parameters(record, kind) for kind in KINDS},
        record.recipe,
        record.seed,
        record.profile,
        record.evaluated_on,
    )


def _record_on(source: Source) -> Record | None:
    records = source.store.records(lambda error: None)
    return next((one for one in records if one.victim_key == source.victim_key), None)


def _parameters(record: Record, kind: str) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = json.loads(getattr(record, f"{kind}_params"))
    except ValueError as error:
        raise RequestError(f"export {record.key[:12]}: {kind}_params cannot be read: {one_line(error)}") from None
    return parameters
