"""Half of every axis of the architectures that people use: runs forward and backward, same outputs, verified."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.wiring import call_model
from netsmith.wiring.recorder import tensors_in

Built = tuple[nn.Module, Any]


def image(size: int) -> torch.Tensor:
    # two images: a batch of one would hide what mixes the batch with other dimensions
    return torch.randn(2, 3, size, size)


def torchvision_model(name: str, size: int, **options: Any) -> Callable[[], Built]:
    def build() -> Built:
        models = pytest.importorskip("torchvision").models
        return models.get_model(name, weights=None, **options), image(size)

    return build


def timm_model(name: str, size: int, **options: Any) -> Callable[[], Built]:
    def build() -> Built:
        return pytest.importorskip("timm").create_model(name, **options), image(size)

    return build


def vgg(home: str) -> Callable[[], Built]:
    """VGG-11 with a narrow classifier: its 25,088 x 4,096 weights would need minutes and gigabytes."""

    def build() -> Built:
        library = pytest.importorskip(f"{home}.models.vgg")
        with torch.device("meta"):
            model = library.vgg11_bn(num_classes=10)
            if home == "torchvision":
                narrow = [nn.Linear(512 * 49, 64), nn.Linear(64, 64), nn.Linear(64, 10)]
                model.classifier[0], model.classifier[3], model.classifier[6] = narrow
            else:
                model.pre_logits = library.ConvMlp(512, 64, 7, mlp_ratio=1.0)
                model.head.fc = nn.Linear(64, 10)
        model.to_empty(device="cpu")
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        return model, image(32)

    return build


def small_vit() -> Built:
    transformer = pytest.importorskip("torchvision").models.VisionTransformer
    return transformer(32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128), image(32)


def tokens() -> torch.Tensor:
    return torch.randint(0, 50, (2, 7))


def bert() -> Built:
    hf = pytest.importorskip("transformers")
    config = hf.BertConfig(
        vocab_size=50,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    return hf.BertForSequenceClassification(config), {"input_ids": tokens(), "attention_mask": torch.ones(2, 7)}


def gpt2() -> Built:
    hf = pytest.importorskip("transformers")
    config = hf.GPT2Config(
        vocab_size=50, n_positions=32, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0, use_cache=False
    )
    return hf.GPT2LMHeadModel(config), {"input_ids": tokens()}


def llama() -> Built:
    hf = pytest.importorskip("transformers")
    config = hf.LlamaConfig(
        vocab_size=50,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,  # grouped-query attention
        max_position_embeddings=32,
        use_cache=False,
    )
    return hf.LlamaForCausalLM(config), {"input_ids": tokens()}


ARCHITECTURES: dict[str, Callable[[], Built]] = {
    "torchvision resnet18": torchvision_model("resnet18", 32),
    "torchvision resnet50": torchvision_model("resnet50", 32),
    "torchvision vgg11_bn": vgg("torchvision"),
    "torchvision mobilenet_v2": torchvision_model("mobilenet_v2", 32),
    "torchvision mobilenet_v3_small": torchvision_model("mobilenet_v3_small", 32),
    "torchvision densenet121": torchvision_model("densenet121", 32),
    "torchvision convnext_tiny": torchvision_model("convnext_tiny", 32),
    "torchvision vit": small_vit,
    "torchvision swin_t": torchvision_model("swin_t", 64),
    "timm resnet18": timm_model("resnet18", 32),
    "timm vgg11_bn": vgg("timm"),
    "timm mobilenetv3_small_100": timm_model("mobilenetv3_small_100", 32),
    "timm densenet121": timm_model("densenet121", 32),
    "timm convnext_atto": timm_model("convnext_atto", 32),
    "timm vit_tiny_patch16_224": timm_model("vit_tiny_patch16_224", 32, img_size=32, depth=4),
    "timm swin_tiny_patch4_window7_224": timm_model("swin_tiny_patch4_window7_224", 56, img_size=56),
    "transformers bert": bert,
    "transformers gpt2": gpt2,
    "transformers llama": llama,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_half_of_every_axis(name: str) -> None:
    torch.manual_seed(0)
    model, x = ARCHITECTURES[name]()
    model.eval()
    before = copy.deepcopy(model.state_dict())

    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    small = netsmith.apply(model, plan)

    verdict = netsmith.verify(model, small, plan, x)
    assert verdict.ok, str(verdict)
    assert type(small) is type(model)
    share = parameters(small) / parameters(model)
    assert share <= 0.6, f"{share:.0%} of the parameters stay"

    outputs = tensors_in(call_model(small, x))
    with torch.no_grad():
        expected = tensors_in(call_model(model, x))
    assert [t.shape for t in outputs] == [t.shape for t in expected]
    sum(t.float().square().mean() for t in outputs if t.is_floating_point()).backward()  # type: ignore[union-attr]
    trained = [p.grad for p in small.parameters() if p.grad is not None]
    assert len(trained) > 0.9 * len(list(small.parameters()))
    assert all(bool(g.isfinite().all()) for g in trained)

    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
