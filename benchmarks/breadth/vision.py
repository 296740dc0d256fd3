"""Every model registered in timm, and every builder of torchvision."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

_STEPS = (
    "zepto atto femto pico n nano t tiny xxs xs s small m medium b base l large xl xxl xlarge huge g giant gigantic"
)


def timm_names(sample: int = 0) -> list[str]:
    """Small variants first; with ``sample``, that many of each of timm's model files."""
    import timm

    if not sample:
        return sorted(timm.list_models(), key=_size_by_name)
    found: set[str] = set()
    for module in timm.list_modules():
        found |= set(sorted(timm.list_models(module=module), key=_size_by_name)[:sample])
    return sorted(found, key=_size_by_name)


def _size_by_name(name: str) -> tuple[int, int, str]:
    words = re.split(r"[_.]", name)
    steps = _STEPS.split()
    step = max((steps.index(w) for w in words if w in steps), default=steps.index("small"))
    numbers = [int(n) for n in re.findall(r"\d+", name)]
    return step, max(numbers, default=0), name


def build_timm(name: str) -> nn.Module:
    import timm

    return timm.create_model(name, pretrained=False)


def timm_input(model: Any, device: str) -> torch.Tensor:
    return torch.randn(1, *model.default_cfg["input_size"], device=device)


def torchvision_names() -> list[str]:
    import torchvision

    return torchvision.models.list_models()


def build_torchvision(name: str) -> nn.Module:
    import torchvision

    options: dict[str, Any] = {} if name.startswith("raft") else {"weights": None}
    room = torchvision.models.get_model_builder(name).__module__
    if ".segmentation" in room or ".detection" in room:
        options["weights_backbone"] = None
    if ".detection" in room and not name.startswith("ssd"):
        options |= {"min_size": 320, "max_size": 320}  # they resize by themselves, to 800 unless told otherwise
    return torchvision.models.get_model(name, **options)


def torchvision_input(name: str, device: str) -> Any:
    """The sizes that the builders' weights were made for; optical flow with the smallest that RAFT takes."""
    import torchvision

    room = torchvision.models.get_model_builder(name).__module__
    if ".detection" in room:
        return ([torch.rand(3, 320, 320, device=device)],)
    if ".optical_flow" in room:
        return tuple(torch.randn(1, 3, 128, 128, device=device) for _ in range(2))
    if ".video" in room:
        size = {"mvit": 224, "swin3d": 224, "s3d": 224}.get(name.split("_")[0], 112)
        return torch.randn(1, 3, 16, size, size, device=device)
    size = 299 if name == "inception_v3" else 224
    return torch.randn(1, 3, size, size, device=device)
