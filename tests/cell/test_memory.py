"""What a worker's memory holds of large test images: a batch of them, however many there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cell.predict import batch_size

SCRIPT = Path(__file__).parents[1] / "large_images.py"
MOST_MB = 2048  # at the peak of a worker
MOST_BYTES = 30_000  # that a further test image may add: a fifth of its 8-bit pixels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux measures the peak")


def printed(*words: object, **environment: str) -> float:
    """What the script prints, in a process of its own."""
    known = {**os.environ, **environment}
    command = [sys.executable, SCRIPT, *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=known)
    assert ran.returncode == 0, ran.stderr
    return float(ran.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_further_test_image_of_224_pixels_adds_a_part_of_its_pixels(tmp_path):
    at_once = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back, however it was allocated
    assert printed("parts", tmp_path, **at_once) < MOST_BYTES


@pytest.mark.slow
def test_a_worker_needs_less_than_2_gb_for_10000_test_images_of_224_pixels(tmp_path):
    assert printed("stage", tmp_path, 10_000) < MOST_MB


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(8, 8, 250), (64, 64, 250), (32, 224, 142), (224, 224, 20), (512, 512, 8)]
)
def test_batches_of_larger_images_are_smaller(height, width, expected):
    assert batch_size(height, width) == expected
