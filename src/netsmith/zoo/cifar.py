"""The CIFAR ResNets of He et al., with option-A shortcuts, as published."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError


class SubsampleAndPad(nn.Module):
    """Option A: every second pixel, new channels zero. No parameters."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.padding = planes // 4

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))  # (N, planes, H/2, W/2)


class BasicBlock(nn.Module):
    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Identity() if stride == 1 else SubsampleAndPad(planes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """Stem, three stages at 32×32, 16×16 and 8×8 with 16, 32 and 64 channels, global average, linear."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))  # (N, 64, 8, 8)
        out = F.avg_pool2d(out, out.size()[3])
        scores: Tensor = self.linear(out.view(out.size(0), -1))  # (N, classes)
        return scores


def _stage(in_planes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [BasicBlock(planes, planes, 1) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(in_planes, planes, stride), *rest)


def cifar_resnet(depth: int = 20, classes: int = 10) -> nn.Module:
    """ResNet for 32×32 colour images, with random weights from torch's current seed.

    Args:
        depth: number of layers with weights, 6·blocks + 2: 20, 32, 44, 56, 110, ...
        classes: number of outputs.

    Returns:
        A module (N, 3, 32, 32) -> (N, classes), state-dict keys as in akamaster/pytorch_resnet_cifar10.

    Raises:
        InputError: the depth is not 6·blocks + 2.

    Source: He et al., CVPR 2016, arXiv:1512.03385, section 4.2.
    """
    if depth < 8 or (depth - 2) % 6:
        raise InputError(f"cifar_resnet depth must be 6·blocks + 2 (8, 14, 20, 32, 44, 56, 110, ...), not {depth}")
    return CifarResNet((depth - 2) // 6, classes)
