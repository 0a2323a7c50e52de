"""Data sets for tests: small archives in the published layouts, and a web server that offers them."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.datasets import tiny_imagenet
from bench.datasets.tiny_imagenet import TinyImageNet


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


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def files_below(folder: Path) -> list[str]:
    """What lies in a folder, without locks and the room for decoded images."""
    return sorted(p.name for p in folder.rglob("*") if p.suffix != ".lock" and p.name != "decoded")


def decoded_entries(folder: Path) -> list[str]:
    """The entries of decoded images under a data directory."""
    if not (folder / "decoded").exists():
        return []
    return sorted(path.name for path in (folder / "decoded").iterdir() if path.suffix != ".lock")


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


def picture(colour: int, kind: str = "JPEG", size: tuple[int, int] = (64, 64)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (colour, 255 - colour, colour // 2)).save(stream, kind)
    return stream.getvalue()


def fill(folder: Path, count: int, label: int) -> Path:
    """``folder``, made with ``count`` PNG files 0.png ..., red of ten times ``label`` and green of ten times theirs."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (10 * label, 10 * number, 200)).save(folder / f"{number}.png")
    return folder


def reds(images: torch.Tensor) -> list[int]:
    """The red of single-coloured images (N, 3, H, W), JPEG being right to within a few levels."""
    assert int((images.amax((2, 3)).int() - images.amin((2, 3)).int()).max()) <= 4
    return images[:, 0].float().mean((1, 2)).round().int().tolist()


def near(found: list[int], expected: list[int]) -> bool:
    return len(found) == len(expected) and all(abs(f - e) <= 3 for f, e in zip(found, expected, strict=True))


def colours(part) -> list[tuple[int, int]]:
    """Red and green of images that have one colour but for the edge, where the filter reaches beyond the square."""
    inner = part.images[:, :, 1:-1, 1:-1]
    assert torch.equal(inner.amax((2, 3)), inner.amin((2, 3)))
    return [(int(image[0, 0, 0]), int(image[1, 0, 0])) for image in inner]


def small_tiny_imagenet(server, monkeypatch) -> bytes:
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


def idx_bytes(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
