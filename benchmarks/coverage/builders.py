"""Makes the model, the example inputs and the list of output layers of one entry of the list."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def build(entry: dict[str, Any]) -> tuple[nn.Module, Any, list[nn.Module]]:
    """(model, example inputs, modules whose outputs must keep their width)."""
    return {"timm": _timm, "torchvision": _torchvision, "transformers": _transformers}[entry["suite"]](entry)


def _named(model: nn.Module, names: list[str]) -> list[nn.Module]:
    modules = dict(model.named_modules())
    return [modules[name] for name in names]


def _timm(entry: dict[str, Any]) -> tuple[nn.Module, Any, list[nn.Module]]:
    import timm

    model = timm.create_model(entry["name"], pretrained=False, **entry.get("kwargs", {}))
    x = torch.randn(1, *entry["input"])
    if "output_layers" in entry:
        return model, x, _named(model, entry["output_layers"])
    heads = model.get_classifier()
    heads = list(heads) if isinstance(heads, (tuple, list)) else [heads]
    heads = [layer for layer in heads if isinstance(layer, nn.Module) and not isinstance(layer, nn.Identity)]
    if not heads:
        heads = [m for m in model.modules() if getattr(m, "out_features", None) == model.num_classes]
    return model, x, heads


def _torchvision(entry: dict[str, Any]) -> tuple[nn.Module, Any, list[nn.Module]]:
    import torchvision.models as classification
    from torchvision.models import detection, segmentation

    room = {"cls": classification, "seg": segmentation, "det": detection}[entry["kind"]]
    model = getattr(room, entry["name"])(**entry.get("kwargs", {}))
    if entry["kind"] == "det":
        x: Any = ([torch.rand(*shape) for shape in entry["input"]],)
    else:
        x = torch.randn(1, *entry["input"])
    if "output_layers" in entry:
        return model, x, _named(model, entry["output_layers"])
    return model, x, [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == 1000]


def _transformers(entry: dict[str, Any]) -> tuple[nn.Module, Any, list[nn.Module]]:
    import transformers

    config = getattr(transformers, entry["config"])(**entry["kwargs"])
    model = getattr(transformers, entry["cls"])(config)
    if hasattr(config, "use_cache"):
        config.use_cache = False
    generator = torch.Generator().manual_seed(0)
    x = {}
    for key, spec in entry["inputs"].items():
        if spec["type"] == "ids":
            x[key] = torch.randint(5, spec["vocab"], spec["shape"], generator=generator)
        else:
            x[key] = torch.randn(*spec["shape"], generator=generator)
    return model, x, _named(model, entry["output_layers"])


def call(model: nn.Module, x: Any) -> Any:
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def flatten(out: Any, keys: list[str] | None = None, path: str = "") -> list[tuple[str, torch.Tensor]]:
    """(path, tensor) for every tensor of an output; ``keys``: only these of the outermost dict."""
    if isinstance(out, torch.Tensor):
        return [(path, out)]
    if isinstance(out, dict):
        items = [(f"{path}.{k}", v) for k, v in out.items() if not (keys and path == "" and k not in keys)]
    elif isinstance(out, (list, tuple)):
        items = [(f"{path}[{i}]", v) for i, v in enumerate(out)]
    else:
        return []
    return [found for name, value in items for found in flatten(value, None, name)]


def shapes(out: Any, entry: dict[str, Any]) -> list[Any]:
    found = flatten(out, entry.get("out_keys"))
    if entry.get("kind") == "det":  # the number of boxes depends on the data
        return [(name, t.dim(), tuple(t.shape[1:])) for name, t in found]
    return [(name, tuple(t.shape)) for name, t in found]


def backward(model: nn.Module, x: Any, entry: dict[str, Any]) -> None:
    """One backward pass; raises unless there are gradients and all are finite."""
    model.zero_grad(set_to_none=True)
    if entry.get("kind") == "det":
        model.train()
        targets = [{"boxes": torch.tensor([[20.0, 30.0, 200.0, 220.0]]), "labels": torch.tensor([1])} for _ in range(2)]
        loss = sum(model([torch.rand(3, 320, 320) for _ in range(2)], targets).values())
    else:
        outs = [
            t for _, t in flatten(call(model, x), entry.get("out_keys")) if t.is_floating_point() and t.requires_grad
        ]
        loss = sum(t.float().pow(2).mean() for t in outs)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not gradients:
        raise RuntimeError("no gradients")
    if not all(torch.isfinite(g).all() for g in gradients):
        raise RuntimeError("a gradient is not finite")
