"""Pretrained weights: they come with their own normalisation, are fitted to the images, and may be missing."""

import timm
import torch
from small_models import SPEC, images_of, network, pictures, refusal

from bench.models.convnext_tiny import ConvNeXtTiny
from bench.models.mobilenet_v3 import MobileNetV3
from bench.models.timm import Timm
from bench.models.vit_tiny import ViTTiny
from bench.toolbox.networks import last_linear


def test_unavailable_weights_are_reported_in_one_line(weights):
    line = refusal(MobileNetV3(pretrained=True), SPEC)
    assert line.startswith("mobilenet_v3: pretrained=true: expected weights of mobilenetv3_large_100")
    assert line.endswith("no connection to timm/mobilenetv3_large_100.ra_in1k")
    for model in (
        ViTTiny(pretrained=True),
        ConvNeXtTiny(pretrained=True),
        Timm(architecture="resnet18", pretrained=True),
    ):
        assert "no connection to timm/" in refusal(model, SPEC)


def test_pretrained_weights_come_with_their_own_normalisation(weights):
    source = timm.create_model("mobilenetv3_large_100").state_dict()
    weights["timm/mobilenetv3_large_100.ra_in1k"] = source
    net = network(MobileNetV3(pretrained=True))
    assert torch.equal(net.net.blocks[5][0].conv_dw.weight, source["blocks.5.0.conv_dw.weight"])
    assert last_linear(net.eval(), pictures()).out_features == 7
    torch.testing.assert_close(net.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(net.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    assert torch.equal(network(MobileNetV3()).mean.flatten(), torch.tensor(SPEC.mean))


def test_grey_images_sum_the_weights_and_take_the_mean_normalisation(weights):
    source = timm.create_model("mobilenetv3_small_050").state_dict()
    weights["timm/mobilenetv3_small_050.lamb_in1k"] = source
    fitted = Timm(architecture="mobilenetv3_small_050", pretrained=True).resolve(images_of(28, channels=1))
    assert fitted.architecture == "mobilenetv3_small_050.lamb_in1k"  # the weights are part of the identity
    net = fitted.build(images_of(28, channels=1))
    torch.testing.assert_close(net.net.conv_stem.weight, source["conv_stem.weight"].sum(1, keepdim=True))
    torch.testing.assert_close(net.mean.flatten(), torch.tensor([(0.485 + 0.456 + 0.406) / 3]))


def test_pretrained_patches_are_resampled(weights):
    source = timm.create_model("vit_tiny_patch16_224").state_dict()
    weights["timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"] = source
    net = network(ViTTiny(pretrained=True))
    assert net.net.patch_embed.proj.weight.shape == (192, 3, 4, 4)
    assert torch.equal(net.net.blocks[3].mlp.fc1.weight, source["blocks.3.mlp.fc1.weight"])
    torch.testing.assert_close(net.mean.flatten(), torch.tensor([0.5, 0.5, 0.5]))
