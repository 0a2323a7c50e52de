"""Fixtures of the data sets' tests: a web server, no network, and small data sets on disk."""

import pytest
from dataset_files import Server
from PIL import Image
from real_data import root_of

from bench.datasets import _download


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def offline(monkeypatch):
    """No network: every download fails."""

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(_download, "urlopen", refuse)


@pytest.fixture
def pets(tmp_path):
    """A directory with ten pictures each of cats and dogs and five of owls, each of a colour of its own."""
    for label, (name, count) in enumerate([("cat", 10), ("dog", 10), ("owl", 5)]):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("RGB", (40, 20), (0, 0, 255))
            picture.paste((80 * label, 20 * number, 0), (10, 0, 30, 20))  # the middle square
            picture.save(tmp_path / "pets" / name / f"{number}.png")
    (tmp_path / "pets" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path / "pets"


@pytest.fixture
def gtsrb_copy(tmp_path):
    """A GTSRB of one training image a class and two test images, in torchvision's layout."""
    base = tmp_path / "gtsrb"
    for label in range(43):
        (base / "GTSRB" / "Training" / f"{label:05d}").mkdir(parents=True)
        Image.new("RGB", (9, 9), (label, 0, 0)).save(base / "GTSRB" / "Training" / f"{label:05d}" / "00000_00000.ppm")
    (base / "GTSRB" / "Final_Test" / "Images").mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (9, 9)).save(base / "GTSRB" / "Final_Test" / "Images" / f"{number:05d}.ppm")
    (base / "GT-final_test.csv").write_text("Filename;ClassId\n00000.ppm;3\n00001.ppm;4\n")
    return tmp_path


@pytest.fixture(scope="module")
def gtsrb_root(tmp_path_factory):
    """A directory with real GTSRB in torchvision's layout: whole, or the third of it that is at hand."""
    return root_of("gtsrb", "GTSRB", "gtsrb", tmp_path_factory)
