"""Small networks to demonstrate and measure on. Plain PyTorch: nothing in them knows netsmith."""

from .cifar import CifarResNet, cifar_resnet
from .digits import DigitsResNet, digits_resnet

__all__ = ["CifarResNet", "DigitsResNet", "cifar_resnet", "digits_resnet"]
