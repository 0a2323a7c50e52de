"""A checkpoint and a folder of pictures made into the subject of a scan or a repair."""

from dataclasses import dataclass, replace
from pathlib import Path

from bench.checkpoint.opened import OpenedNetwork, open_network
from bench.checkpoint.read import read
from bench.errors import RequestError
from bench.plan.registry import Registry
from bench.plugin.model import Model
from bench.suspect.images import Pictures, read_pictures
from bench.suspect.methods import model_named
from bench.suspect.options import SuspectOptions
from bench.suspect.subject import Subject, subject


@dataclass(frozen=True)
class Brought:
    """What somebody has brought: a checkpoint's network, its architecture, the pictures, and both as a subject."""

    opened: OpenedNetwork
    model: Model
    label: str
    pictures: Pictures
    subject: Subject

    @property
    def facts(self) -> dict[str, str]:
        """What the network was taken for, in words."""
        spec = self.subject.spec
        mean, std = (",".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
        order = self.opened.preprocessing.order if spec.channels == 3 else "grey"
        if self.opened.layout.normalises:
            mean = std = "that of the checkpoint itself"
        return {
            "checkpoint": str(self.opened.checkpoint.path),
            "model": self.label,
            "input": f"{'x'.join(map(str, spec.shape))} {order}",
            "mean": mean,
            "std": std,
            "classes": str(spec.classes),
        }


def bring(path: Path, options: SuspectOptions, registry: Registry) -> Brought:
    """The checkpoint at ``path`` with what the options say of it. Raises RequestError, in one line."""
    if options.model is None or options.images is None:
        raise RequestError("--model, --images: expected both")
    label, model = model_named(registry, options.model)
    checkpoint = read(path)
    pictures = read_pictures(options.images, options.pixels, options.resize)
    height, width = pictures.images.shape[2:]
    opened = open_network(checkpoint, model, height, width, options.preprocessing, classes=options.classes, label=label)
    # how training may vary such images is not known: a small shift is harmless, a mirror image may be of another class
    spec = replace(opened.spec, crop=min(height, width) // 8, flip=False)
    labels, names = pictures.labels(spec.classes)
    images = pictures.for_channels(spec.channels)
    on = subject(opened.network, images, labels, device=options.device, spec=spec, names=names)
    return Brought(opened, model, label, pictures, on)
