"""Victims made elsewhere as stages of a plan: their files are read, and fitted to a data set and an architecture."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from bench.checkpoint.opened import open_network
from bench.checkpoint.preprocessed import Preprocessed
from bench.checkpoint.preprocessing import Preprocessing
from bench.errors import RequestError, shortened
from bench.imported.attack import ImportedAttack
from bench.imported.network import Applied
from bench.imported.read import read
from bench.imported.victim_file import VictimFile, label_map
from bench.plan import identity
from bench.plan.chooser import Chooser, Chosen
from bench.plan.request import Request
from bench.plan.stages import ImportedVictim, Ref
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec

RECIPE = "imported"  # in records, in place of a recipe's name


def imported_victims(
    request: Request, chooser: Chooser, data: Path, seeds: Sequence[int], labels: Collection[str]
) -> list[tuple[Chosen, ImportedVictim]]:
    """The victims of ``request.victims``, one for each seed, each with its data set.

    labels: of the plan's other attacks, from which those of the victims are to differ. Raises RequestError, in one
    line, for a file that cannot be read, or does not fit its data set and architecture.
    """
    if request.victims and request.evaluate != "test":
        raise RequestError(
            f"--evaluate {request.evaluate}: expected test with --victims: of a victim made elsewhere the training "
            "images without a part held out are not known"
        )
    found = {file.digest: (path, file) for path, file in ((path, read(path)) for path in request.victims)}
    taken = Counter([*labels, *(file.label for _, file in found.values())])
    victims = []
    for path, file in found.values():
        named = f"victim {shortened(str(path))}"
        dataset, model = _dataset(file, chooser, data, named), _one("model", file.model, chooser, named)
        spec = cast(Dataset, dataset.plugin).spec
        [model] = chooser.fitted([model], "resolve", spec)
        applied = _applied(file, cast(Model, model.plugin), model.ref.label, spec, named)
        label = file.label if taken[file.label] == 1 else f"{file.label}.{file.digest[:4]}"
        attack = _attack(file, label, spec, chooser, named)
        parts = dataset.ref, model.ref, attack, request.profile, RECIPE
        victims += [
            (dataset, ImportedVictim(*parts, seed, "test", path.resolve(), file.digest, applied, bool(file.train)))
            for seed in seeds
        ]
    return victims


def _dataset(file: VictimFile, chooser: Chooser, data: Path, named: str) -> Chosen:
    """The data set of the victim, for images of its size."""
    text = file.dataset
    if file.size and text.isidentifier() and "size" in chooser.registry.load("dataset", text).model_fields:
        text = f"{text}[size={file.size[0]}]"
    [located] = chooser.fitted([_one("dataset", text, chooser, named)], "located", data)
    spec = cast(Dataset, located.plugin).spec
    if file.size and file.size != (spec.height, spec.width):
        raise RequestError(
            f"{named}: its images have {file.size[0]}x{file.size[1]} pixels, those of {located.ref.label} "
            f"{spec.height}x{spec.width}"
        )
    if file.classes not in (None, spec.classes):
        raise RequestError(f"{named}: has {file.classes} classes, {located.ref.label} {spec.classes}")
    return located


def _one(kind: str, text: str, chooser: Chooser, named: str) -> Chosen:
    """The one plugin that a selection means."""
    try:
        chosen = chooser.choose(kind, text)
    except RequestError as error:
        raise RequestError(f"{named}: {error}") from error
    if len(chosen) != 1:
        raise RequestError(f"{named}: {kind} {shortened(text)}: expected one, this selects {len(chosen)}")
    return chosen[0]


def _applied(file: VictimFile, model: Model, label: str, spec: ImageSpec, named: str) -> Applied:
    """What the victim's network does to images first. Raises RequestError if the weights do not fit ``model``."""
    own = {"mean", "std"} <= set(file.weights.tensors)  # of a network that this project has exported
    preprocessing = file.preprocessing or (None if own else Preprocessing(spec.mean, spec.std))
    opened = open_network(
        file.weights, model, spec.height, spec.width, preprocessing, classes=spec.classes, label=label
    )
    if opened.spec.shape != spec.shape:
        raise RequestError(f"{named}: its network takes {opened.spec.channels} channels, expected {spec.channels}")
    return Applied(opened.spec.mean, opened.spec.std, cast(Preprocessed, opened.network).order)


def _attack(file: VictimFile, label: str, spec: ImageSpec, chooser: Chooser, named: str) -> Ref:
    """What stands for the victim's attack, which is known by its triggered images alone."""
    for listed in (part.listed for part in (file.test, file.train) if part):
        most = max([*listed.labels, *(one for one in listed.originals if one is not None)])
        if most >= spec.classes:
            raise RequestError(f"{named}: label {most}: expected labels below {spec.classes}")
    known = {**label_map(file.test.listed, spec.classes), "content": file.digest, "classes": spec.classes}
    plugin = ImportedAttack(**known)
    parameters = {name: value for name, value in plugin.model_dump(mode="json").items() if name in known}
    ref = Ref("attack", plugin.name, str(plugin.version), parameters, label)  # its poisoning rate is not known
    chooser.plugins["attack", identity.canonical(ref.identity)] = plugin
    return ref
