"""Networks as kuangliu/pytorch-cifar writes them, whose names BackdoorBench and many others have, in slim forms."""

import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class _PreActBlock(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        return self.conv2(F.relu(self.bn2(out))) + shortcut


class _Layers(nn.Module):
    def __init__(self, block: type[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        before = width
        for number, factor in enumerate((1, 2, 4, 8), 1):
            stride = 1 if number == 1 else 2
            blocks = block(before, factor * width, stride), block(factor * width, factor * width, 1)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            before = factor * width
        self.linear = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.stem(x)
        for number in (1, 2, 3, 4):
            out = self.get_submodule(f"layer{number}")(out)
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits

    def stem(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1(x)
        return out


class KuangliuPreActResNet18(_Layers):
    def __init__(self, width: int, classes: int = 4) -> None:
        super().__init__(_PreActBlock, width, classes)


class KuangliuResNet18(_Layers):
    def __init__(self, width: int, classes: int = 4) -> None:
        super().__init__(_Block, width, classes)
        self.bn1 = nn.BatchNorm2d(width)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))
