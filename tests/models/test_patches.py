"""Patches fit the images."""

import pytest
from small_models import SPEC, images_of, pictures

from bench.models.timm import Timm
from bench.models.vit_tiny import ViTTiny
from bench.plugin.values import ImageSpec


@pytest.mark.parametrize(
    ("side", "size"), [(8, 2), (16, 2), (24, 4), (28, 4), (32, 4), (48, 4), (64, 8), (96, 8), (160, 16), (224, 16)]
)
def test_patches_fit_the_images(side, size):
    assert ViTTiny().resolve(images_of(side)).patch_size == size


def test_patches_fit_without_a_plan():
    assert ViTTiny().build(images_of(64)).net.patch_embed.num_patches == 8 * 8


def test_a_requested_patch_size_is_kept_and_images_need_not_be_square():
    spec = ImageSpec(3, 32, 48, 7, (0.5,) * 3, (0.25,) * 3)
    fitted = ViTTiny(patch_size=8).resolve(spec)
    assert fitted.patch_size == 8
    assert fitted.build(spec).eval()(pictures(spec)).shape == (2, 7)


def test_timms_vision_transformers_get_small_patches():
    assert Timm(architecture="vit_tiny_patch16_224").resolve(SPEC).patch_size == 4
    assert Timm(architecture="vit_tiny_patch16_224").resolve(images_of(224)).patch_size == 16
    assert Timm(architecture="swin_tiny_patch4_window7_224").resolve(SPEC).patch_size is None
