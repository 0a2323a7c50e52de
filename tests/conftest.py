"""What the tests share: small images, one-file plugins, and where the real CIFAR-10 lies if it is at hand."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from real_data import root_of

from bench.plugin.values import AttackContext, Context, ImageSpec, LabelledImages

torch.set_num_threads(1)  # as workers do: on a busy machine more threads wait for each other

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # of a suite in the background: its children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("no deadline", deadline=None)  # on a busy machine any single example may take seconds
settings.load_profile("no deadline")

SPEC = ImageSpec(3, 16, 16, classes=5, mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture(scope="session", autouse=True)
def disk() -> Iterator[None]:
    """Nothing that this process writes is waited for until it is on the disk: no test cuts the power.

    Half of the seconds of a small run are such waits. What is to be waited for, and in which order, is what
    ``store/test_durability.py`` records; the processes that tests start wait as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which fails for the same descriptors
        yield


@pytest.fixture
def spec() -> ImageSpec:
    return SPEC


@pytest.fixture
def images() -> LabelledImages:
    """60 random images of five classes, 12 of each."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (60, *SPEC.shape), generator=generator, dtype=torch.uint8)
    return LabelledImages(pixels, torch.arange(60) % 5)


@pytest.fixture
def attack_context() -> AttackContext:
    return AttackContext(torch.device("cpu"), torch.Generator().manual_seed(1), spec=SPEC)


@pytest.fixture
def context() -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(1))


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """A function that writes a one-file plugin, given its name and text, and returns its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def cifar10_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the real CIFAR-10 in torchvision's layout."""
    return root_of("cifar10", "CIFAR-10", "cifar-10-batches-py", tmp_path_factory)


FIRST = ("tests", "trust", "engine", "cell", "apart", "cli", "store")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes come first: their files take longest, and short files let the suite's processes end
    together, which take file after file in this order (``--no-loadscope-reorder``)."""
    items.sort(key=lambda item: item.path.parent.name not in FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for the suite or a folder of it, none for single files or tests: each loads torch anew."""
    narrowed = any("::" in argument or Path(argument).is_file() for argument in config.args)
    return 0 if narrowed or config.option.keyword else 2
