"""The networks, from the classes of torchvision and timm, and how each is trained.

Small enough for one CPU thread: VGG-16-BN at a quarter of its width, MobileNetV2 with smaller strides (and half of its
width on photographs), a ViT of six blocks. SGD or AdamW with a one-cycle learning rate; photographs are cropped and
mirrored at random, digits are not. Trained once: weights are kept in the cache folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Images = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Network:
    """How to build and train one network.

    Attributes:
        build: makes it, untrained.
        data: "cifar10-jpeg" or "digits".
        epochs, batch: length of the training.
        rate: the highest learning rate of the cycle.
        decay: weight decay, of matrices and kernels alone.
        adam: AdamW instead of SGD with momentum 0.9.
        bfloat16: train under autocast.
        heads: attention heads of a block; 0: none.
    """

    build: Callable[[], nn.Module]
    data: str
    epochs: int
    rate: float
    decay: float
    batch: int = 125
    adam: bool = False
    bfloat16: bool = False
    heads: int = 0


def vgg16_bn(width: float = 0.25) -> nn.Module:
    """torchvision's VGG-16-BN with this share of its channels and one linear layer behind the last pooling."""
    from torchvision.models.vgg import VGG, cfgs, make_layers

    widths: list[str | int] = [w if isinstance(w, str) else int(w * width) for w in cfgs["D"]]
    model = VGG(make_layers(widths, batch_norm=True), num_classes=10)
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier = nn.Sequential(nn.Linear(int(512 * width), 10))
    return model


def mobilenet_v2(width: float, channels: int, stem: int, strides: tuple[int, int, int, int]) -> nn.Module:
    """torchvision's MobileNetV2 with smaller strides than for photographs of 224×224: the last maps are 4×4 or 2×2."""
    from torchvision.models import mobilenet_v2 as build

    second, third, fourth, sixth = strides
    expansion_channels_blocks_stride = [
        [1, 16, 1, 1],
        [6, 24, 2, second],
        [6, 32, 3, third],
        [6, 64, 4, fourth],
        [6, 96, 3, 1],
        [6, 160, 3, sixth],
        [6, 320, 1, 1],
    ]
    model = build(num_classes=10, width_mult=width, inverted_residual_setting=expansion_channels_blocks_stride)
    first = model.features[0][0]
    model.features[0][0] = nn.Conv2d(channels, first.out_channels, 3, stride=stem, padding=1, bias=False)
    return model


def vit_digits() -> nn.Module:
    """timm's VisionTransformer, sized for 8×8 pixels: 16 patches and a class token, six blocks of four heads."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=64, depth=6, num_heads=4, mlp_ratio=4
    )


NETWORKS = {
    "VGG-16-BN": Network(vgg16_bn, "cifar10-jpeg", epochs=12, rate=0.15, decay=5e-4, bfloat16=True),
    "MobileNetV2": Network(
        lambda: mobilenet_v2(0.5, 3, 2, (2, 1, 2, 1)), "cifar10-jpeg", epochs=4, rate=0.1, decay=2e-4
    ),
    "MobileNetV2-digits": Network(
        lambda: mobilenet_v2(1.0, 1, 1, (1, 2, 1, 2)), "digits", epochs=30, rate=0.05, decay=2e-4, batch=64
    ),
    "ViT": Network(vit_digits, "digits", epochs=40, rate=2e-3, decay=0.05, batch=64, adam=True, heads=4),
}


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random crops of images (N, C, H, W) padded by 4, half of them mirrored."""
    count, _, height, width = x.shape
    padded = nn.functional.pad(x, (4, 4, 4, 4)).permute(0, 2, 3, 1)
    rows, columns = torch.randint(0, 9, (2, count, 1), generator=generator)
    rows, columns = rows + torch.arange(height), columns + torch.arange(width)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(flip, columns.flip(1), columns)
    each = torch.arange(count)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def trained(name: str, train: Images, cache: Path, seed: int = 0) -> nn.Module:
    """The network in eval mode, from the cache where it lies there, otherwise trained on these images."""
    network, file = NETWORKS[name], cache / f"{name}.safetensors"
    torch.manual_seed(seed)
    model = network.build()
    if file.is_file():
        model.load_state_dict(load_file(file))
        return model.eval()
    _train(network, model.to(memory_format=torch.channels_last), train, seed)
    cache.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)
    return model.eval()


def _train(network: Network, model: nn.Module, train: Images, seed: int) -> None:
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": network.decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if network.adam:
        optimizer = torch.optim.AdamW(groups, lr=network.rate)
    else:
        optimizer = torch.optim.SGD(groups, lr=network.rate, momentum=0.9, nesterov=True)
    x, y = train
    steps = network.epochs * (len(x) // network.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, network.rate, total_steps=steps, pct_start=0.2)
    generator = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    model.train()
    for epoch in range(network.epochs):
        order = torch.randperm(len(x), generator=generator)[: steps // network.epochs * network.batch]
        losses = []
        for chosen in order.split(network.batch):
            images = x[chosen] if network.data == "digits" else augmented(x[chosen], generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=network.bfloat16):
                logits = model(images.to(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), y[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0 if network.adam else 5.0)
            optimizer.step()
            cycle.step()
            losses.append(loss.item())
        mean, seconds = sum(losses) / len(losses), time.perf_counter() - start
        print(f"epoch {epoch + 1} of {network.epochs}: loss {mean:.3f}, {seconds:.0f} s", flush=True)
