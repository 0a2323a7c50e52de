"""Damaged pictures of every format that Pillow writes are read or refused in one line that names the file."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from bench.datasets import _pictures
from bench.errors import RequestError

MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F", "YCbCr")
NAMES = (".png", ".jpg", ".tif", ".gif")  # what a file is called does not decide how it is read


def examples() -> list[tuple[str, bytes]]:
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
    return made


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The file cut, with bits flipped, with another beginning, with a hole, or with a part of it twice."""
    spoilt, length = bytearray(content), len(content)
    how = chance.randrange(6)
    if how == 0:
        return content[: chance.randrange(length)]
    if how == 1:
        for _ in range(chance.choice([1, 2, 8, 64])):
            spoilt[chance.randrange(length)] ^= 1 << chance.randrange(8)
    elif how == 2:  # in the header, where sizes and types stand
        for _ in range(chance.choice([1, 2, 4])):
            spoilt[chance.randrange(min(64, length))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    elif how == 3:
        start = chance.randrange(length)
        spoilt[start : start + 4] = chance.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
    elif how == 4:
        start = chance.randrange(length)
        del spoilt[start : start + chance.randrange(1, 40)]
    else:
        start = chance.randrange(length)
        spoilt[start:start] = spoilt[start : start + chance.randrange(1, 40)]
    return bytes(spoilt)


def was_read(file) -> bool:
    """Whether the file was read as a picture, and not refused. Any other error passes."""
    try:
        square = _pictures.square(file, 16, "crop", upright=True)
    except RequestError as error:
        message = str(error)
    else:
        assert (square.shape, square.dtype) == ((3, 16, 16), np.uint8)
        return True
    assert message.startswith(f"{file}: cannot be read as a picture: ")
    assert len(message.splitlines()) == 1
    return False


@pytest.mark.filterwarnings("ignore")  # Pillow's: the reader of a whole folder ignores them too
@pytest.mark.parametrize("count", [400, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_damaged_picture_is_read_or_refused_in_one_line(tmp_path, capfd, count):
    chance, made = random.Random(0), examples()
    assert len({name.split()[0] for name, _ in made}) >= 15
    read = 0
    for number in range(count):
        file = tmp_path / f"{number}{chance.choice(NAMES)}"
        file.write_bytes(damaged(made[number % len(made)][1], chance))
        read += was_read(file)
        file.unlink()
    assert count // 10 < read < count - count // 10  # the damage is neither fatal nor harmless throughout
    assert capfd.readouterr() == ("", "")  # nor do the libraries below print anything


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
