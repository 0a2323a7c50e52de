"""Pictures of every depth, transparency and orientation keep what they show, or are refused by name."""

import numpy as np
import pytest
from PIL import Image

from bench.datasets._pictures import square
from bench.errors import RequestError

RAMP = np.linspace(0, 1, 16)[None].repeat(16, 0)  # (16, 16), from black on the left to white on the right
SHAPE = np.zeros((16, 16), np.uint8)
SHAPE[4:12, 4:12] = 255


def grey(file, **options) -> np.ndarray:
    """The picture as (16, 16) grey values; its channels must be equal."""
    image = square(file, 16, "crop", **options)
    assert (image[0] == image[1]).all()
    assert (image[0] == image[2]).all()
    return image[0]


@pytest.mark.parametrize("name", ["p.png", "p.tif", "p.pgm"])
def test_sixteen_bits_become_eight(tmp_path, name):
    Image.fromarray(np.round(RAMP * 65535).astype(np.uint16)).save(tmp_path / name)
    assert np.abs(grey(tmp_path / name).astype(int) - np.round(RAMP * 255)).max() <= 1


def test_floating_point_values_from_0_to_1_become_eight_bits(tmp_path):
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "p.tif")
    assert np.array_equal(grey(tmp_path / "p.tif"), np.round(RAMP * 255))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ((RAMP * 255).astype(np.float32), "floating-point values from 0 to 255, expected 0 to 1"),
        ((RAMP - 0.5).astype(np.float32), "from -0.5 to 0.5, expected 0 to 1"),
        ((RAMP * np.nan).astype(np.float32), "from nan to nan, expected 0 to 1"),
        ((RAMP * 4095).astype(np.uint16), "16-bit values of no more than 4095"),
        ((RAMP * 70000).astype(np.int32), "32-bit integers from 0 to 70000, of an unknown range"),
    ],
)
def test_values_of_an_unknown_range_are_refused_by_name(tmp_path, values, complaint):
    Image.fromarray(values).save(tmp_path / "p.tif")
    with pytest.raises(RequestError, match=f"p.tif: cannot be read as a picture: .*{complaint}"):
        square(tmp_path / "p.tif", 16, "crop")


def transparent(colour: int, mode: str) -> Image.Image:
    """A picture of one colour whose shape is in its alpha channel alone."""
    picture = Image.new("RGBA", (16, 16), (colour,) * 3)
    picture.putalpha(Image.fromarray(SHAPE))
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_a_shape_in_the_alpha_channel_is_seen_on_the_background(tmp_path, mode):
    transparent(0, mode).save(tmp_path / "p.png" if mode != "PA" else tmp_path / "p.tif")
    file = next(tmp_path.iterdir())
    assert np.array_equal(grey(file), 255 - SHAPE)
    assert np.array_equal(grey(file, background="grey"), np.where(SHAPE, 0, 128))


def test_a_shape_of_the_colour_of_the_background_is_refused_by_name(tmp_path):
    transparent(255, "RGBA").save(tmp_path / "p.png")
    with pytest.raises(
        RequestError, match=r"p.png: .* nothing of it shows on the background, white; choose background=black"
    ):
        square(tmp_path / "p.png", 16, "crop")
    assert np.array_equal(grey(tmp_path / "p.png", background="black"), SHAPE)


def test_a_picture_that_is_invisible_throughout_is_refused_by_name(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    picture.putalpha(0)
    picture.save(tmp_path / "p.png")
    with pytest.raises(RequestError, match=r"p.png: .* nothing of it shows on the background"):
        square(tmp_path / "p.png", 16, "crop")


def test_a_transparent_colour_of_a_palette_is_the_background(tmp_path):
    picture = Image.fromarray((SHAPE > 0).astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.save(tmp_path / "p.gif", transparency=0)
    assert np.array_equal(grey(tmp_path / "p.gif"), 255 - SHAPE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.tif", "p.webp"])
def test_a_picture_is_turned_upright(tmp_path, name, orientation):
    upright = Image.new("L", (32, 32))
    upright.paste(255, (0, 0, 16, 8))
    upright.paste(120, (0, 8, 8, 32))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF's number: Pillow's transposition that undoes turning it
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if name != "p.tif" else {}
    stored.convert("RGB").save(tmp_path / name, exif=exif, **options)
    difference = square(tmp_path / name, 32, "crop", upright=True)[0].astype(int) - np.asarray(upright)
    assert np.median(np.abs(difference)) <= 1
    assert np.mean(np.abs(difference)) < 5
