"""Damaged pictures of every format that Pillow writes are read or refused in one line that names the file."""

import faulthandler
import io
import random
import time
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import _pictures
from bench.datasets.image_folder import ImageFolder
from bench.errors import RequestError

MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F", "YCbCr")
NAMES = (".png", ".jpg", ".tif", ".gif")  # what a file is called does not decide how it is read
SECONDS = 30  # that any picture may take, on a busy machine


@cache
def examples() -> tuple[tuple[str, bytes], ...]:
    """A small picture in every mode of every format that Pillow can write here, with the format's name."""
    Image.init()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    made = []
    for kind in sorted(Image.SAVE):
        for mode in MODES:
            stream = io.BytesIO()
            try:
                picture = noise.convert("L").convert(mode) if mode.startswith("I") else noise.convert(mode)
                picture.save(stream, kind)
            except Exception:  # this format has no such mode, or needs a program
                continue
            made.append((f"{kind} {mode}", stream.getvalue()))
    return tuple(made)


def flipped(content: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(content)
    for _ in range(chance.choice([1, 2, 8, 64])):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def odd_header(content: bytes, chance: random.Random) -> bytes:
    """Other bytes where sizes and types stand."""
    spoilt = bytearray(content)
    for _ in range(chance.choice([1, 2, 4])):
        place = chance.randrange(min(64, len(spoilt)))
        spoilt[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    return bytes(spoilt)


def odd_number(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    number = chance.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
    return content[:start] + number + content[start + 4 :]


def holed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.randrange(1, 40) :]


def repeated(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start : start + chance.randrange(1, 40)] + content[start:]


def zeroed(content: bytes, chance: random.Random) -> bytes:
    """As a disk leaves it that was cut off while the file was written."""
    kept = chance.randrange(len(content))
    return content[:kept] + bytes(len(content) - kept)


DAMAGE = {
    "cut": lambda content, chance: content[: chance.randrange(len(content))],
    "flipped": flipped,
    "odd header": odd_header,
    "odd number": odd_number,
    "holed": holed,
    "repeated": repeated,
    "zeroed": zeroed,
    "turned": lambda content, chance: content[len(content) // 2 :] + content[: len(content) // 2],
    "followed": lambda content, chance: content + chance.randbytes(chance.randrange(1, 2000)),
}


def damaged(count: int) -> list[tuple[str, bytes]]:
    """``count`` damaged pictures with the name of each: every kind of damage to every format in turn."""
    made = examples()
    assert len({name.split()[0] for name, _ in made}) >= 15
    cases = [(f"{name} {kind}", content, kind) for kind in DAMAGE for name, content in made]
    random.Random(0).shuffle(cases)
    return [
        (name, DAMAGE[kind](content, random.Random(number)))
        for number, (name, content, kind) in enumerate(islice(cycle(cases), count))
    ]


def was_read(read, file: Path) -> bool:
    """Whether ``read`` read the file as a picture, and did not refuse it. Any other error passes."""
    began = time.monotonic()
    try:
        read()
    except RequestError as error:
        message = str(error)
    else:
        message = ""
    assert time.monotonic() - began < SECONDS
    assert not message or message.startswith(f"{file}: cannot be read as a picture: ")
    assert len(message.splitlines()) < 2
    return not message


@pytest.fixture
def no_hang():
    """Ends the process with a traceback where a library waits for ever: no signal would reach Python."""
    faulthandler.dump_traceback_later(1200, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.filterwarnings("ignore")  # Pillow's: the reader of a whole folder ignores them too
@pytest.mark.parametrize("count", [200, pytest.param(6000, marks=pytest.mark.slow)])
def test_a_damaged_picture_is_read_or_refused_in_one_line(tmp_path, capfd, no_hang, count):
    read = 0
    for number, (_, content) in enumerate(damaged(count)):
        file = tmp_path / f"{number}{NAMES[number % len(NAMES)]}"
        file.write_bytes(content)

        def decode(file=file):
            square = _pictures.square(file, 16, "crop", upright=True)
            assert (square.shape, square.dtype) == ((3, 16, 16), np.uint8)

        read += was_read(decode, file)
        file.unlink()
    assert count // 10 < read < count - count // 10  # the damage is neither fatal nor harmless throughout
    assert capfd.readouterr() == ("", "")  # nor do the libraries below print anything


@pytest.mark.parametrize("count", [20, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_folder_with_a_damaged_picture_is_read_or_refused_in_one_line(tmp_path, no_hang, count):
    for name in "ab":
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (9, 9), (80 * number, 0, 0)).save(tmp_path / "pics" / name / f"{number}.png")
    read = 0
    for number, (_, content) in enumerate(damaged(count)):
        file = tmp_path / "pics" / "b" / f"damaged{NAMES[number % len(NAMES)]}"
        file.write_bytes(content)

        def splits():
            found = ImageFolder(path=str(tmp_path / "pics"), size=8).splits(tmp_path)
            assert len(found.train) + len(found.test) == 7

        read += was_read(splits, file)
        file.unlink()
    assert 0 < read < count


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_whole_picture_of_a_format_that_is_tried_is_read(tmp_path):
    kinds = set()
    for name, content in examples():
        kind, mode = name.split()
        if kind in _pictures.FORMATS and mode in ("RGB", "L"):
            (tmp_path / "p").write_bytes(content)
            assert np.ptp(_pictures.square(tmp_path / "p", 16, "crop")) > 20, name
            kinds.add(kind)
    assert kinds >= {"BMP", "DDS", "GIF", "JPEG", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF"}
