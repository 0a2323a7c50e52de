"""A checkpoint of anybody's becomes a network that takes images in [0, 1], and goes back into its file's layout."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from checkpoint_files import Small, SmallModel, saved, wrapped
from other_implementations import KuangliuPreActResNet18, KuangliuResNet18
from safetensors.torch import save_file
from small_models import network
from torch import Tensor, nn

from bench.checkpoint.opened import OpenedNetwork, open_network
from bench.checkpoint.preprocessing import Preprocessing
from bench.checkpoint.read import Checkpoint, read
from bench.errors import RequestError
from bench.models.preact_resnet18 import PreActResNet18
from bench.models.resnet18 import ResNet18
from bench.models.timm import Timm
from bench.models.torchvision import TorchVision
from bench.plugin.model import Model

PLAIN = Preprocessing("none")
IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def opened(
    tensors: dict[str, Tensor], model: Model | None = None, given: Preprocessing | None = PLAIN
) -> OpenedNetwork:
    return open_network(Checkpoint(Path("net.pt"), tensors), model or SmallModel(), 16, 16, given)


@torch.no_grad()
def answers(net: nn.Module, images: Tensor = IMAGES) -> Tensor:
    logits: Tensor = net.eval()(images)
    return logits


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod.", "net.model.", "1."])
def test_prefixes_of_wrappers_are_taken_off_and_put_back(prefix):
    tensors = wrapped(Small().half().state_dict(), prefix)
    found = opened(tensors)
    torch.testing.assert_close(answers(found.network), answers(Small().half().float()))
    back = found.written(found.network)
    assert list(back) == list(tensors)
    assert all(torch.equal(back[name], value) and back[name].dtype == value.dtype for name, value in tensors.items())


@pytest.mark.parametrize(
    ("theirs", "model"),
    [
        (lambda: KuangliuResNet18(8), ResNet18(width=8)),
        (lambda: KuangliuPreActResNet18(8), PreActResNet18(width=8)),
        (lambda: torchvision.models.mobilenet_v3_small(num_classes=4), TorchVision(architecture="mobilenet_v3_small")),
        (lambda: timm.create_model("test_resnet", num_classes=4), Timm(architecture="test_resnet", stem="imagenet")),
    ],
    ids=["kuangliu", "backdoorbench", "torchvision", "timm"],
)
def test_networks_of_other_implementations_answer_as_there(theirs, model):
    torch.manual_seed(0)
    net = theirs().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics of their own, so that a confusion shows
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    found = opened(net.state_dict(), model)
    assert found.spec.classes == 4
    torch.testing.assert_close(answers(found.network), answers(net))


@pytest.mark.parametrize(
    ("given", "mean", "std", "order"),
    [
        (Preprocessing("none"), [0.0] * 3, [1.0] * 3, [0, 1, 2]),
        (Preprocessing("imagenet"), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], [0, 1, 2]),
        (Preprocessing((0.5,), (0.25,), "bgr"), [0.5] * 3, [0.25] * 3, [2, 1, 0]),
        (Preprocessing((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), "bgr"), [0.1, 0.2, 0.3], [1.0, 2.0, 3.0], [2, 1, 0]),
        (None, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], [0, 1, 2]),  # no architecture says otherwise
    ],
)
def test_the_networks_own_preprocessing_is_applied_once(given, mean, std, order):
    inputs = (IMAGES[:, order] - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    found = opened(Small().state_dict(), given=given)
    torch.testing.assert_close(answers(found.network), answers(Small(), inputs))


def test_timms_own_mean_and_std_are_known():
    theirs = timm.create_model("test_vit", num_classes=4, img_size=16).eval()
    found = opened(theirs.state_dict(), Timm(architecture="test_vit"), given=None)
    assert found.spec.mean == theirs.pretrained_cfg["mean"] != (0.485, 0.456, 0.406)
    torch.testing.assert_close(answers(found.network), answers(theirs, (IMAGES - 0.5) / 0.5))


def test_a_victim_of_this_project_has_its_own_mean_and_std():
    victim = network(ResNet18(width=8))  # with mean 0.5 and std 0.25
    found = opened(victim.state_dict(), ResNet18(width=8), given=None)
    torch.testing.assert_close(answers(found.network), answers(victim))
    with pytest.raises(RequestError, match="holds its own mean and std"):
        opened(victim.state_dict(), ResNet18(width=8), Preprocessing("imagenet"))


@pytest.mark.parametrize(
    ("tensors", "options", "said"),
    [
        (Small(classes=7).state_dict(), {"classes": 4}, "does not fit small: fc.weight has 7 classes, expected 4"),
        ({**Small().state_dict(), "more": torch.zeros(1)}, {}, "1 that it does not have, more"),
        ({k: v for k, v in Small().state_dict().items() if "norm" not in k}, {}, "4 missing, norm.weight, norm.bias,"),
        ({**Small().state_dict(), "conv.bias": torch.zeros(6)}, {}, r"conv.bias is \(6,\), expected \(5,\)"),
        (
            {**Small().state_dict(), "conv.bias": torch.full((5,), torch.nan)},
            {},
            "conv.bias holds 5 values that are not",
        ),
        (Small(channels=1).state_dict(), {"preprocessing": Preprocessing("none", order="bgr")}, "--channels bgr"),
        (Small().state_dict(), {"preprocessing": Preprocessing((0.5, 0.5), (1.0,))}, "--mean 0.5,0.5: expected 1 or 3"),
        (Small().state_dict(), {"preprocessing": Preprocessing((104.0,), (1.0,))}, "--mean 104: .*divide by 255"),
        (Small().state_dict(), {"preprocessing": Preprocessing((0.5,), (0.0,))}, "--std 0: expected numbers above 0"),
        (Small().state_dict(), {"preprocessing": Preprocessing((0.5,))}, "--mean 0.5: expected --std with it"),
        (Small().state_dict(), {"preprocessing": Preprocessing("imagnet")}, "--mean imagnet: expected numbers or one"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tensors, options, said):
    with pytest.raises(RequestError, match=said) as caught:
        open_network(Checkpoint(Path("net.pt"), tensors), SmallModel(), 16, 16, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("channels", "classes"), [(1, 4), (3, 7)])
def test_channels_and_classes_are_those_of_the_file_whatever_the_order_of_its_tensors(tmp_path, channels, classes):
    tensors = Small(channels, classes).state_dict()
    save_file(dict(reversed(tensors.items())), tmp_path / "net.safetensors")  # which puts them into an order of its own
    found = open_network(read(tmp_path / "net.safetensors"), SmallModel(), 16, 16, PLAIN)
    assert (found.spec.channels, found.spec.classes) == (channels, classes)
    torch.testing.assert_close(
        answers(found.network, IMAGES[:, :channels]), answers(Small(channels, classes), IMAGES[:, :channels])
    )


def test_an_older_file_may_lack_the_counters_of_batches(tmp_path):
    tensors = {name: value for name, value in Small().state_dict().items() if not name.endswith("num_batches_tracked")}
    found = open_network(read(saved(tmp_path, tensors)), SmallModel(), 16, 16, PLAIN)
    torch.testing.assert_close(answers(found.network), answers(Small()))
    assert list(found.written(found.network)) == list(tensors)


def test_a_repaired_network_with_other_tensors_does_not_fit_the_file():
    found = opened(Small().state_dict())
    found.network.net.add_module("extra", nn.Linear(4, 4))
    with pytest.raises(RequestError, match=r"2 new, extra\.weight, extra\.bias"):
        found.written(found.network)
    with pytest.raises(RequestError, match="no longer the checkpoint's architecture"):
        found.written(Small())
