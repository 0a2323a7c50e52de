"""The pixels of triggered images that somebody else has made."""

import numpy as np
import pytest
from PIL import Image

from bench.errors import RequestError
from bench.imported.pictures import PictureFiles


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "EPS"])
def test_only_png_is_decoded_whatever_a_file_is_called(tmp_path, kind):
    """EPS, for one, is handed to a program of the system."""
    picture = Image.fromarray(np.full((4, 4, 3), 90, np.uint8))
    picture.save(tmp_path / "right.png")
    assert PictureFiles((tmp_path / "right.png",)).pixels((3, 4, 4)).unique().tolist() == [90]
    picture.save(tmp_path / "0.png", format=kind)
    with pytest.raises(RequestError, match=r"0\.png: cannot be read as a PNG picture: ") as refused:
        PictureFiles((tmp_path / "0.png",)).pixels((3, 4, 4))
    assert "\n" not in str(refused.value)
