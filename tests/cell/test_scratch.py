"""Triggered images: the same bytes in memory and in a file, of which nothing stays behind."""

import errno
import os
import tempfile
from dataclasses import replace

import pytest
import torch

from bench.attacks.badnets import BadNets
from bench.attacks.wanet import WaNet
from bench.cell import backdoors, scratch
from bench.plugin import mapped
from bench.plugin.attack import as_bytes

ATTACKS = [BadNets(), BadNets(label_map="several", targets=(1, 4)), WaNet(label_map="several", targets=(1, 4))]


@pytest.mark.parametrize("large", [0, 2**40])
@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_each_image_carries_the_trigger_of_its_backdoor_wherever_it_is_kept(
    attack, images, spec, attack_context, monkeypatch, tmp_path, large
):
    monkeypatch.setattr(scratch, "LARGE", large)
    monkeypatch.setattr(backdoors, "BATCH", 7)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    parts = attack.resolve(spec).backdoors()
    learned = backdoors.learn(attack.resolve(spec), images, attack_context)
    context = replace(attack_context, learned=learned)
    made = backdoors.with_trigger(parts, images, torch.Generator().manual_seed(3), context)
    assert list(tmp_path.iterdir()) == []
    assert (mapped._map_of(made.pixels) is not None) == (large == 0)
    assignment = backdoors.assign(len(parts), len(images), torch.Generator().manual_seed(3))
    applied = [
        part.apply(images.floats, backdoors._context_of(number, len(parts), context))
        for number, part in enumerate(parts)
    ]
    expected = as_bytes(torch.stack(applied)[assignment, torch.arange(len(images))]).float() / 255
    both = torch.cat((images.floats, expected))
    order = torch.randperm(2 * len(images), generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([made.inputs(part) for part in order.split(11)]), both[order])
    assert torch.equal(made.triggered(made.eligible), expected[made.eligible])
    pairs = list(made.pairs(order % len(images), 9))
    assert torch.equal(torch.cat([clean for clean, _ in pairs]), images.floats[order % len(images)])
    assert torch.equal(torch.cat([after for _, after in pairs]), expected[order % len(images)])


def test_a_full_disk_is_one_line_that_says_how_to_help(images, monkeypatch):
    class Full:
        def seek(self, place):
            return place

        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scratch, "LARGE", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    room = scratch.Scratch(tuple(images.images.shape), torch.device("cpu"))
    with pytest.raises(OSError, match=r"No space left on device: .* do not fit into .*; set TMPDIR$") as caught:
        room.put(torch.arange(len(images)), images.images)
    assert caught.value.errno == errno.ENOSPC
    assert len(str(caught.value).splitlines()) == 1
