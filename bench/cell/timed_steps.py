"""How long a victim's training may take, by a few steps of it on random images: for an estimate before a run."""

import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch

from bench.plan.plan import Plan
from bench.plan.recipes import recipe
from bench.plan.stages import ImportedVictim, VictimStage
from bench.plugin.dataset import Dataset
from bench.plugin.images import steps_per_epoch
from bench.plugin.model import Model
from bench.plugin.values import LabelledImages
from bench.toolbox.training import Recipe, train

STEPS, SECONDS = 4, 3.0  # how much is tried: so many steps, and none after so many seconds; the first does not count
SHORT = 30_000  # images in all epochs: what is trained on fewer is over before it would pay
_SIZES = 20  # at how many points of the training the images' size is looked at


class _EnoughError(Exception):
    """Steps were timed."""


def training_seconds(plan: Plan, victim: VictimStage, data: Path, threads: int = 1) -> float | None:
    """Seconds that a victim's training may take on a CPU; None where that cannot be told so, or would be too short.

    What an attack does to the training is not counted. Nothing is downloaded. The state of random numbers and the
    number of threads are as before afterwards.
    """
    if isinstance(victim, ImportedVictim) or victim.model.foreign or victim.dataset.foreign:
        return None
    how, threads_before = recipe(victim.recipe), torch.get_num_threads()
    try:
        dataset, model = cast(Dataset, plan.plugin(victim.dataset)), cast(Model, plan.plugin(victim.model))
        count = dataset.training_images(data)
        if how.epochs * count < SHORT:
            return None
        torch.set_num_threads(threads)
        with torch.random.fork_rng(devices=[]):
            step = _step_seconds(dataset, model, how)
    except Exception:  # the run itself will say what is wrong
        return None
    finally:
        torch.set_num_threads(threads_before)
    return step * _mean_area(how) * how.epochs * steps_per_epoch(count, how.batch_size)


def _step_seconds(dataset: Dataset, model: Model, how: Recipe) -> float:
    spec = dataset.spec
    torch.manual_seed(0)
    images = torch.randint(0, 256, (how.batch_size * (STEPS + 1), *spec.shape), dtype=torch.uint8)
    labelled = LabelledImages(images, torch.arange(len(images)) % spec.classes)
    times = [time.perf_counter()]

    def timed(_: float) -> None:
        times.append(time.perf_counter())
        if len(times) > STEPS or times[-1] - times[0] > SECONDS:
            raise _EnoughError

    whole = how.model_copy(update={"epochs": 1, "start_size": 1.0})
    with suppress(_EnoughError):
        train(
            model.build(spec),
            labelled,
            whole,
            torch.Generator().manual_seed(0),
            crop=dataset.crop,
            flip=dataset.flip,
            progress=timed,
        )
    taken = sorted(after - before for before, after in pairwise(times))
    return taken[(len(taken) - 1) // 2]


def _mean_area(how: Recipe) -> float:
    """The mean area of the images that the network sees, in areas of whole ones."""
    return sum(how.size(point / _SIZES) ** 2 for point in range(_SIZES)) / _SIZES
