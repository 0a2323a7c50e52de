"""The plugin of torchvision's networks: they are torchvision's own, for any number of channels."""

from dataclasses import replace

import pytest
import torch
from small_models import SPEC, images_of, network, pictures, refusal

from bench.models.torchvision import TorchVision
from bench.toolbox.networks import Latent, stages, watching


def test_it_takes_grey_images_and_can_be_looked_into():
    spec = images_of(32, channels=1)
    net = network(TorchVision(architecture="resnet18", stem="small"), spec).eval()
    latent = Latent(net, pictures(spec))
    assert net(pictures(spec)).shape == (2, latent.linear.out_features) == (2, spec.classes)
    sides = []
    with watching(stages(net)["layer4"], lambda _, output: sides.append(output.shape[-1])):
        net(pictures(spec))
    assert sides == [4]  # one pixel with torchvision's own strides


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("resnet19", SPEC, "torchvision: unknown architecture name=resnet19: did you mean 'resnet1"),
        ("fasterrcnn_resnet50_fpn", SPEC, "unknown architecture"),
        ("vit_b_16", replace(SPEC, width=48), "expected square images, not 32x48 pixels"),
        ("squeezenet1_1", images_of(64), "expected a classifier that ends in a linear layer"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, spec, said):
    assert said in refusal(TorchVision(architecture=name), spec)


def test_the_architecture_is_written_as_name_and_trying_it_leaves_the_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    model = TorchVision(name="mobilenet_v3_small").resolve(SPEC)
    assert torch.rand(1) == expected
    assert model.model_dump()["name"] == "mobilenet_v3_small"
