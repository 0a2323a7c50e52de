"""Getting data sets: resumed, checked, unpacked whole or not at all, once among several; and what a bad one says."""

import errno
import gzip
import hashlib
import io
import pickle
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image

from bench.datasets import _download, fashion_mnist, gtsrb, imagenette, tiny_imagenet
from bench.datasets._download import fetch, unpack
from bench.datasets.cifar10 import CIFAR10
from bench.datasets.cifar100 import CIFAR100
from bench.datasets.fashion_mnist import FashionMNIST
from bench.datasets.gtsrb import GTSRB
from bench.datasets.imagenette import Imagenette
from bench.datasets.tiny_imagenet import TinyImageNet
from bench.errors import RequestError

CONTENT = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()


class Server:
    """A web server with files by name. ``breaks``: after how many bytes the next answers end early."""

    def __init__(self):
        self.files, self.asked, self.breaks, self.ranges = {}, [], [], True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                outer.asked.append((self.path.lstrip("/"), wanted))
                content = outer.files.get(self.path.lstrip("/"))
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and outer.ranges else 0
                if content is None or (start and start >= len(content)):
                    self.send_error(404 if content is None else 416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                until = start + outer.breaks.pop(0) if outer.breaks else len(content)
                self.wfile.write(content[start:until])

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def names(folder: Path) -> list[str]:
    """What lies in a folder, without locks and the room for decoded images."""
    return sorted(p.name for p in folder.rglob("*") if p.suffix != ".lock" and p.name != "decoded")


# --- one file ----------------------------------------------------------------------------------------


def test_a_broken_download_continues_where_it_stopped(server, tmp_path):
    server.files["a"], server.breaks = CONTENT, [30_000, 20_000]
    fetch(f"{server.url}/a", tmp_path / "sub" / "a", md5(CONTENT))
    assert (tmp_path / "sub" / "a").read_bytes() == CONTENT
    assert server.asked == [("a", None), ("a", "bytes=30000-"), ("a", "bytes=50000-")]
    assert names(tmp_path) == ["a", "sub"]
    fetch(f"{server.url}/a", tmp_path / "sub" / "a", md5(CONTENT))
    assert len(server.asked) == 3  # nothing more to ask for


def test_what_a_killed_process_left_is_continued(server, tmp_path):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT[:77_000])
    fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert server.asked == [("a", "bytes=77000-")]
    assert (tmp_path / "a").read_bytes() == CONTENT
    (tmp_path / "b.part").write_bytes(CONTENT)  # killed just before its rename
    fetch(f"{server.url}/a", tmp_path / "b", md5(CONTENT))
    assert names(tmp_path) == ["a", "b"]


def test_a_server_that_cannot_continue_starts_over(server, tmp_path):
    server.files["a"], server.ranges = CONTENT, False
    (tmp_path / "a.part").write_bytes(CONTENT[:77_000])
    fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_wrong_hash_is_one_line_and_leaves_nothing(server, tmp_path):
    server.files["a"] = CONTENT
    with pytest.raises(RequestError, match=f"a.part: damaged: its MD5 is {md5(CONTENT)}, expected 0000") as caught:
        fetch(f"{server.url}/a", tmp_path / "a", "0000")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_damaged_file_of_the_users_is_named_and_kept(server, tmp_path):
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(RequestError, match="delete it to have it downloaded again"):
        fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert server.asked == []


def test_a_full_disk_leaves_no_part(server, tmp_path):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").symlink_to("/dev/full")  # every write to it fails with ENOSPC
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_refusal_is_not_asked_again(server, tmp_path):
    with pytest.raises(OSError, match=r"http://127.0.0.1:\d+/gone: HTTP Error 404"):
        fetch(f"{server.url}/gone", tmp_path / "gone", "0000")
    assert len(server.asked) == 1
    assert names(tmp_path) == []


# --- archives ----------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return stream.getvalue()


def tarred(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = 0 if info is content else len(content)
            packed.addfile(info, None if info is content else io.BytesIO(content))
    return stream.getvalue()


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("set/link")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_go_to_their_places(tmp_path, pack):
    (tmp_path / "archive").write_bytes(pack({"set/a.txt": b"1", "set/deep/b.txt": b"2", "list.csv": b"3"}))
    (tmp_path / ".here.half").mkdir()
    (tmp_path / ".here.half" / "of a killed process").touch()
    unpack(tmp_path / "archive", {"set": tmp_path / "here", "list.csv": tmp_path / "there" / "list.csv"})
    assert (tmp_path / "here" / "deep" / "b.txt").read_bytes() == b"2"
    assert names(tmp_path) == ["a.txt", "archive", "b.txt", "deep", "here", "list.csv", "there"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/tmp/evil", "C:\\evil", "..\\evil"])
def test_no_path_leads_out_of_an_archive(tmp_path, pack, name):
    home = tmp_path / "data"
    home.mkdir()
    (home / "archive").write_bytes(pack({"set/a": b"1", name: b"evil"}))
    with pytest.raises(RequestError, match="unsafe archive: it holds the path"):
        unpack(home / "archive", {"set": home / "set"})
    assert names(tmp_path) == ["archive", "data"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../../outside", "/etc/passwd"])
def test_no_link_leads_out_of_an_archive(tmp_path, kind, target):
    (tmp_path / "archive").write_bytes(tarred({"set/a": b"1", "set/link": link(kind, target)}))
    with pytest.raises(RequestError, match="damaged or unsafe archive"):
        unpack(tmp_path / "archive", {"set": tmp_path / "set"})
    assert names(tmp_path) == ["archive"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.999])
def test_a_truncated_archive_leaves_nothing(tmp_path, pack, share):
    content = pack({"set/a": CONTENT, "set/b": CONTENT[::-1]})
    (tmp_path / "archive").write_bytes(content[: int(share * len(content))])
    with pytest.raises(RequestError, match="archive: ") as caught:
        unpack(tmp_path / "archive", {"set": tmp_path / "set"})
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["archive"]


def test_another_archive_is_named(tmp_path):
    (tmp_path / "archive").write_bytes(zipped({"other/a": b"1"}))
    with pytest.raises(RequestError, match="expected it to hold set"):
        unpack(tmp_path / "archive", {"set": tmp_path / "set"})
    assert names(tmp_path) == ["archive"]


# --- the published data sets, in small ---------------------------------------------------------------


def picture(colour: int, kind: str = "JPEG", size: tuple[int, int] = (64, 64)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (colour, 255 - colour, colour // 2)).save(stream, kind)
    return stream.getvalue()


def colours(images: torch.Tensor) -> list[int]:
    """The red of single-coloured images (N, 3, H, W), JPEG being right to within a few levels."""
    assert int((images.amax((2, 3)).int() - images.amin((2, 3)).int()).max()) <= 4
    return images[:, 0].float().mean((1, 2)).round().int().tolist()


def near(found: list[int], expected: list[int]) -> bool:
    return len(found) == len(expected) and all(abs(f - e) <= 3 for f, e in zip(found, expected, strict=True))


def small_tiny(server, monkeypatch) -> bytes:
    """Three classes with two images each, listed out of order, and three validation images."""
    wnids, members = ["n03", "n01", "n02"], {}
    members["tiny-imagenet-200/wnids.txt"] = "\n".join(wnids).encode()
    for place, wnid in enumerate(wnids):
        for number in range(2):
            content = picture(20 * place + number * 100)
            members[f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{number}.JPEG"] = content
    for number in range(3):
        members[f"tiny-imagenet-200/val/images/val_{number}.JPEG"] = picture(50 * number)
    rows = [f"val_{number}.JPEG\t{wnid}\t0\t0\t62\t62" for number, wnid in enumerate(wnids)]
    members["tiny-imagenet-200/val/val_annotations.txt"] = "\n".join(rows).encode() + b"\n"
    server.files["t.zip"] = zipped(members)
    monkeypatch.setattr(tiny_imagenet, "URL", f"{server.url}/t.zip")
    monkeypatch.setattr(tiny_imagenet, "MD5", md5(server.files["t.zip"]))
    monkeypatch.setattr(TinyImageNet, "published", (6, 3))
    monkeypatch.setattr(TinyImageNet, "classes", 3)
    return server.files["t.zip"]


def test_tiny_imagenet_numbers_its_classes_by_wnid(server, monkeypatch, tmp_path):
    small_tiny(server, monkeypatch)
    assert TinyImageNet().training_images(tmp_path) == 6  # known before anything is downloaded
    TinyImageNet().prepare(tmp_path)
    splits = TinyImageNet().splits(tmp_path)
    assert splits.train.images.shape == (6, 3, 64, 64)
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert near(colours(splits.train.images), [20, 120, 40, 140, 0, 100])  # n01, n02, n03
    assert splits.test.labels.tolist() == [2, 0, 1]
    assert near(colours(splits.test.images), [0, 50, 100])
    assert TinyImageNet(size=16).splits(tmp_path).train.images.shape == (6, 3, 16, 16)
    assert len(server.asked) == 1


def test_half_a_tiny_imagenet_is_not_taken_for_one(server, monkeypatch, tmp_path):
    small_tiny(server, monkeypatch)
    TinyImageNet().prepare(tmp_path)
    next((tmp_path / "tiny-imagenet-200" / "train" / "n02" / "images").iterdir()).unlink()
    with pytest.raises(RequestError, match="not whole: 5 training and 3 validation images, expected 6 and 3"):
        TinyImageNet().prepare(tmp_path)
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").unlink()
    with pytest.raises(RequestError, match=r"val_annotations\.txt"):
        TinyImageNet().training_images(tmp_path)


def test_several_at_once_download_once(server, monkeypatch, tmp_path):
    small_tiny(server, monkeypatch)
    found, errors = [], []

    def start():
        try:
            found.append(TinyImageNet().splits(tmp_path).train.labels.tolist())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found == [[0, 0, 1, 1, 2, 2]] * 4
    assert len(server.asked) == 1


def test_an_archive_at_hand_needs_no_network(server, monkeypatch, tmp_path):
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(small_tiny(server, monkeypatch))
    TinyImageNet().prepare(tmp_path)
    assert server.asked == []


def test_a_damaged_archive_is_one_line_before_anything_is_unpacked(server, monkeypatch, tmp_path):
    content = small_tiny(server, monkeypatch)
    server.files["t.zip"] = content[:500] + bytes(10) + content[510:]
    with pytest.raises(RequestError, match="damaged: its MD5 is") as caught:
        TinyImageNet().prepare(tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_full_disk_is_one_line(server, monkeypatch, tmp_path):
    small_tiny(server, monkeypatch)
    (tmp_path / "tiny-imagenet-200.zip.part").symlink_to("/dev/full")
    with pytest.raises(RequestError, match=r"tiny_imagenet: the disk of .* is full"):
        TinyImageNet().prepare(tmp_path)
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_while_unpacking_leaves_the_archive_only(server, monkeypatch, tmp_path):
    small_tiny(server, monkeypatch)
    written = []

    def copy(source, target, *args):
        written.append(target.write(source.read()))
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.shutil, "copyfileobj", copy)
        with pytest.raises(RequestError, match=r"tiny_imagenet: the disk of .* is full"):
            TinyImageNet().prepare(tmp_path)
    assert names(tmp_path) == ["tiny-imagenet-200.zip"]
    TinyImageNet().prepare(tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("dataset", [CIFAR10(), CIFAR100(), FashionMNIST(), GTSRB(), Imagenette(), TinyImageNet()])
def test_without_a_network_it_is_one_line(monkeypatch, tmp_path, dataset):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(_download, "urlopen", offline)
    with pytest.raises(RequestError, match=f"{dataset.name}: not found whole under") as caught:
        dataset.prepare(tmp_path)
    assert "no network" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert dataset.training_images(tmp_path) == dataset.published[0] > 9000
    assert names(tmp_path) == []


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
    assert [Imagenette(size=size).place for size in (160, 161, 320, 321)] == [
        "imagenette2-160",
        "imagenette2-320",
        "imagenette2-320",
        "imagenette2",
    ]


def small_gtsrb(place: str, *, lists: bool) -> tuple[dict[str, bytes], dict[str, bytes], bytes]:
    """Training and test members of the archives, and the test labels: two images a class, 43 for testing."""
    train, test = {}, {}
    for label in range(43):
        files = [f"{track:05d}_00000.ppm" for track in range(2)]
        for track, file in enumerate(files):
            train[f"{place}/{label:05d}/{file}"] = picture(5 * label + track, "PPM", (20 + label, 30))
        if lists:
            rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
            rows += [f"{file};20;30;5;5;15;25;{label}" for file in files]
            train[f"{place}/{label:05d}/GT-{label:05d}.csv"] = "\r\n".join(rows).encode()
    answers = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number in range(43):
        test[f"GTSRB/Final_Test/Images/{number:05d}.ppm"] = picture(3 * number, "PPM", (25, 25))
        answers.append(f"{number:05d}.ppm;25;25;5;5;20;20;{42 - number}")
    return train, test, "\n".join(answers).encode()


def holds_small_gtsrb(splits) -> bool:
    return (
        splits.train.labels.tolist() == [label for label in range(43) for _ in range(2)]
        and colours(splits.train.images) == [5 * label + track for label in range(43) for track in range(2)]
        and splits.test.labels.tolist() == list(range(42, -1, -1))
        and colours(splits.test.images) == [3 * number for number in range(43)]
    )


def test_gtsrb_downloads_the_official_archives(server, monkeypatch, tmp_path):
    train, test, answers = small_gtsrb("GTSRB/Final_Training/Images", lists=True)
    contents = [zipped(train), zipped(test), zipped({"GT-final_test.csv": answers})]
    archives = {}
    for (name, (_, member)), content in zip(gtsrb.ARCHIVES.items(), contents, strict=True):
        server.files[name] = content
        archives[name] = (md5(content), member)
    monkeypatch.setattr(gtsrb, "ARCHIVES", archives)
    monkeypatch.setattr(gtsrb, "URL", server.url)
    assert holds_small_gtsrb(GTSRB().splits(tmp_path))
    assert GTSRB(size=48).splits(tmp_path).test.images.shape == (43, 3, 48, 48)
    assert len(server.asked) == 3
    assert torchvision.datasets.GTSRB(tmp_path, split="test")[5][1] == 37  # its layout, where it has one
    (tmp_path / "gtsrb" / "GTSRB" / "Final_Training" / "Images" / "00007" / "00001_00000.ppm").unlink()
    with pytest.raises(RequestError, match=r"not whole: 00007/00001_00000.ppm is missing"):
        GTSRB().prepare(tmp_path)


@pytest.mark.parametrize("place", ["GTSRB/Training", "GTSRB/Final_Training/Images"])
@pytest.mark.parametrize("base", ["gtsrb", "."])
def test_gtsrb_is_read_in_both_layouts(monkeypatch, tmp_path, place, base):
    train, test, answers = small_gtsrb(place, lists=False)
    for name, content in {**train, **test, "GT-final_test.csv": answers}.items():
        (tmp_path / base / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / base / name).write_bytes(content)
    assert GTSRB().training_images(tmp_path) == 86
    assert holds_small_gtsrb(GTSRB().splits(tmp_path))
    for file in (tmp_path / base / place / "00042").iterdir():
        file.unlink()
    with pytest.raises(RequestError, match="not whole: 00042 is missing or empty"):
        GTSRB().prepare(tmp_path)
    (tmp_path / base / "GT-final_test.csv").unlink()

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(_download, "urlopen", offline)
    with pytest.raises(RequestError, match="gtsrb: not found whole"):
        GTSRB().prepare(tmp_path)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def test_fashion_mnist_is_what_torchvision_reads(server, monkeypatch, tmp_path):
    generator, arrays = np.random.default_rng(0), []
    for count in (30, 20):
        arrays += [generator.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10]
    resources = []
    for (name, _), array in zip(torchvision.datasets.FashionMNIST.resources, arrays, strict=True):
        server.files[name] = gzip.compress(idx(array))
        resources.append((name, md5(server.files[name])))
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [f"{server.url}/"])
    monkeypatch.setattr(FashionMNIST, "published", (30, 20))
    splits = FashionMNIST().splits(tmp_path)
    assert np.array_equal(splits.train.images[:, 0], arrays[0])
    assert np.array_equal(splits.test.images[:, 0], arrays[2])
    assert splits.test.labels.tolist() == arrays[3].tolist()
    raw = tmp_path / "FashionMNIST" / "raw"
    for name, _ in resources:  # as torchvision leaves them, where somebody tidied up
        (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress((raw / name).read_bytes()))
        (raw / name).unlink()
    reference = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    assert torch.equal(FashionMNIST().splits(tmp_path).test.images[:, 0], reference.data)
    assert len(server.asked) == 4
    labels = raw / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-3])
    with pytest.raises(RequestError, match="t10k-labels-idx1-ubyte: damaged"):
        FashionMNIST().prepare(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        idx(np.zeros(8, np.uint8)),
        idx(np.zeros(9, np.uint8))[:-1],
        b"\0\0\x09" + bytes(20),
        b"\x1f\x8b junk",
    ],
)
@pytest.mark.parametrize("name", ["labels", "labels.gz"])
def test_anything_but_nine_labels_is_one_line(tmp_path, content, name):
    packed = gzip.compress(content) if name.endswith("gz") and b"junk" not in content else content
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(RequestError, match=f"{name}: damaged: expected an IDX file of 9 items"):
        fashion_mnist.idx(tmp_path / name, 9)


def small_cifar(server, monkeypatch, dataset, place: str) -> np.ndarray:
    """Let ``dataset`` read an archive of 10 images a batch, in the layout of ``place``; gives the pixels."""
    reader, generator = dataset().reader, np.random.default_rng(0)
    fine, pixels, members, hashes = "100" in place, [], {}, {}
    for name in [name for name, _ in reader.train_list + reader.test_list]:
        pixels.append(generator.integers(0, 256, (10, 3072), np.uint8))
        batch = {"data": pixels[-1], "fine_labels" if fine else "labels": list(range(10))}
        if fine:
            batch["coarse_labels"] = [0] * 10
        hashes[name] = pickle.dumps(batch)
    hashes[reader.meta["filename"]] = pickle.dumps({reader.meta["key"]: ["name"]})
    members = {f"{place}/{name}": content for name, content in hashes.items()}
    server.files[reader.filename] = tarred(members)
    monkeypatch.setattr(reader, "url", f"{server.url}/{reader.filename}")
    monkeypatch.setattr(reader, "tgz_md5", md5(server.files[reader.filename]))
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(hashes[reader.meta["filename"]])})
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(reader, part, [[name, md5(hashes[name])] for name, _ in getattr(reader, part)])
    return np.concatenate(pixels).reshape(-1, 3, 32, 32)


@pytest.mark.parametrize(("dataset", "batches"), [(CIFAR10, 5), (CIFAR100, 1)])
def test_cifar_downloads_and_a_changed_batch_is_damaged(server, monkeypatch, tmp_path, dataset, batches):
    pixels = small_cifar(server, monkeypatch, dataset, dataset.place)
    splits = dataset().splits(tmp_path)
    assert np.array_equal(splits.train.images, pixels[: 10 * batches])
    assert np.array_equal(splits.test.images, pixels[10 * batches :])
    assert splits.train.labels.tolist() == list(range(10)) * batches
    assert len(server.asked) == 1
    batch = tmp_path / dataset.place / dataset().reader.test_list[0][0]
    batch.write_bytes(batch.read_bytes()[:-1] + b"!")
    with pytest.raises(RequestError, match=f"{dataset.name}: not found whole under .* is damaged or half unpacked"):
        dataset().prepare(tmp_path)
