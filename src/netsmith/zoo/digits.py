"""A small ResNet for 8×8 images of digits."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import InputError


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the shortcut is a 1×1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + self.shortcut(x)
        return self.relu(out)


class DigitsResNet(nn.Module):
    """Stem, three stages of two residual blocks at 8×8, 4×4 and 2×2, global average, linear."""

    def __init__(self, width: int = 24, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.stage1 = nn.Sequential(ResidualBlock(width, width), ResidualBlock(width, width))
        self.stage2 = nn.Sequential(ResidualBlock(width, 2 * width, 2), ResidualBlock(2 * width, 2 * width))
        self.stage3 = nn.Sequential(ResidualBlock(2 * width, 4 * width, 2), ResidualBlock(4 * width, 4 * width))
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, width, 8, 8)
        x = self.stage3(self.stage2(self.stage1(x)))  # (N, 4·width, 2, 2)
        scores: Tensor = self.fc(x.mean(dim=(2, 3)))  # (N, classes)
        return scores


def digits_resnet(width: int = 24, classes: int = 10) -> nn.Module:
    """The network of ``netsmith demo``, with random weights from torch's current seed.

    Args:
        width: channels of the first stage, ≥ 1; the other two have 2× and 4× as many.
        classes: number of outputs, ≥ 1.

    Returns:
        A module (N, 1, 8, 8) -> (N, classes).

    Raises:
        InputError: width or classes below 1.

    Source: the blocks of He et al., CVPR 2016, arXiv:1512.03385, scaled down.
    """
    if width < 1 or classes < 1:
        raise InputError(f"digits_resnet needs width ≥ 1 and classes ≥ 1, not width={width}, classes={classes}")
    return DigitsResNet(width, classes)
