"""Imagenette, from a small archive in its layout."""

import io

from dataset_files import md5, tarred
from PIL import Image

from bench.datasets import imagenette
from bench.datasets.imagenette import Imagenette


def test_imagenette_takes_the_middle_of_the_right_archive(server, monkeypatch, tmp_path):
    members = {}
    for split, count in (("train", 2), ("val", 1)):
        for label in range(10):
            for number in range(count):
                wide = Image.new("RGB", (240, 160), (255, 255, 255))
                wide.paste((20 * label, 0, 0), (40, 0, 200, 160))  # the middle square; the rest is white
                stream = io.BytesIO()
                wide.save(stream, "PNG")
                members[f"imagenette2-160/{split}/n{label}/{number}.png"] = stream.getvalue()
    server.files["imagenette2-160.tgz"] = tarred(members)
    hashes = {**imagenette.ARCHIVES, "imagenette2-160": (160, md5(server.files["imagenette2-160.tgz"]))}
    monkeypatch.setattr(imagenette, "URL", server.url)
    monkeypatch.setattr(imagenette, "ARCHIVES", hashes)
    monkeypatch.setattr(Imagenette, "published", (20, 10))
    splits = Imagenette(size=32).splits(tmp_path)
    assert splits.train.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert splits.test.labels.tolist() == list(range(10))
    middle = splits.test.images[:, 0, 8:24, 8:24].float().mean((1, 2))
    assert middle.tolist() == [20.0 * label for label in range(10)]
    assert [Imagenette(size=size).directory for size in (160, 161, 320, 321)] == [
        "imagenette2-160",
        "imagenette2-320",
        "imagenette2-320",
        "imagenette2",
    ]
