"""Picture files become square images."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from bench.datasets import _pictures
from bench.datasets.gtsrb import GTSRB
from bench.errors import RequestError


@pytest.mark.parametrize(("fit", "box"), [("stretch", (0, 40)), ("crop", (5, 35))])
def test_a_picture_becomes_a_square_as_torch_would_make_it(tmp_path, fit, box):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((40, 30), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "p.png")
    cut = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())[None, :, :, box[0] : box[1]].float()
    expected = torch.nn.functional.interpolate(cut, (10, 10), mode="bilinear", antialias=True)[0]
    found = torch.from_numpy(_pictures.square(tmp_path / "p.png", 10, fit).copy()).float()
    inner = slice(1, -1) if fit == "crop" else slice(None)  # at its edge the cut one sees a little of what is beyond
    torch.testing.assert_close(found[:, :, inner], expected[:, :, inner], atol=1.01, rtol=0)


@pytest.mark.parametrize("side", [10_001, 20_000, 2**31 - 1])
@pytest.mark.filterwarnings("ignore")  # Pillow's
def test_a_small_file_that_claims_too_many_pixels_is_refused(tmp_path, side):
    header = struct.pack(">II5B", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(RequestError, match=r"bomb.png: cannot be read as a picture: .*pixels"):
        _pictures.square(tmp_path / "bomb.png", 16, "crop")


def test_a_program_that_is_called_a_picture_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *args, **options: pytest.fail("a program was run"))
    Image.new("RGB", (20, 20)).save(tmp_path / "p.png", "EPS")
    with pytest.raises(RequestError, match=r"p.png: cannot be read as a picture: cannot identify"):
        _pictures.square(tmp_path / "p.png", 16, "crop")


def test_a_named_pipe_in_a_published_data_set_is_refused_by_name(gtsrb_copy):
    pipe = gtsrb_copy / "gtsrb" / "GTSRB" / "Training" / "00007" / "00000_00001.ppm"
    os.mkfifo(pipe)
    with pytest.raises(RequestError, match=r"00000_00001.ppm: cannot be read as a picture: it is a named pipe"):
        GTSRB().prepare(gtsrb_copy)
