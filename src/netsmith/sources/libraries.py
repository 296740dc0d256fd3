"""``torchvision:NAME``, ``timm:NAME`` and ``hf:DIRECTORY`` -> a model and the shape or tensors of its inputs.

Nothing is downloaded: a model has the weights of its folder, or random ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError, ModelError, UnknownNameError, missing_extra

if TYPE_CHECKING:
    from torch import nn

# Tokens in the example input of a language model: enough for every matrix to be multiplied, few enough to be quick.
TOKENS = 16


def torchvision_model(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    try:
        from torchvision import models
    except ImportError as error:
        raise missing_extra("torchvision", "vision", f"torchvision:{name}") from error
    if name not in models.list_models():
        raise UnknownNameError(_no_such("torchvision", name, models.list_models()))
    model = models.get_model(name, weights=None, **({"init_weights": True} if name in _SLOW_INIT else {}))
    side = 299 if name == "inception_v3" else 224
    return model, (1, 3, 16, 112, 112) if name in _VIDEO else (1, 3, side, side)


_SLOW_INIT = ("googlenet", "inception_v3")  # they warn unless told that their initialization is wanted
_VIDEO = ("mc3_18", "r2plus1d_18", "r3d_18")


def timm_model(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    try:
        import timm
    except ImportError as error:
        raise missing_extra("timm", "vision", f"timm:{name}") from error
    if not timm.is_model(name):
        raise UnknownNameError(_no_such("timm", name, timm.list_models()))
    model = timm.create_model(name, pretrained=False)
    return model, (1, *model.pretrained_cfg.get("input_size", (3, 224, 224)))


def hf_model(directory: str, *, structure_only: bool) -> nn.Module:
    """The class that ``config.json`` names, with the folder's weights where it has some.

    Args:
        directory: holds ``config.json``, and perhaps ``*.safetensors`` or ``*.bin``.
        structure_only: leave the weights alone (the caller builds on the meta device).

    Raises:
        FileError: no config.json there.
        ModelError: transformers cannot build the model.
    """
    try:
        import transformers
    except ImportError as error:
        raise missing_extra("transformers", "hf", f"hf:{directory}") from error
    if not (Path(directory) / "config.json").is_file():
        raise FileError(f"there is no config.json in {directory!r}; hf: takes a folder that save_pretrained wrote")
    try:
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True)
        named = getattr(transformers, (config.architectures or ["AutoModel"])[0], transformers.AutoModel)
        if hf_has_weights(directory) and not structure_only:
            with _without_bars(transformers):
                model = named.from_pretrained(directory, local_files_only=True)
        else:
            make = named._from_config if hasattr(named, "_from_config") else named.from_config
            model = make(config)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"hf:{directory} cannot be opened: {error}") from error
    return model


def hf_has_weights(directory: str) -> bool:
    return any(file for pattern in ("*.safetensors", "*.bin") for file in Path(directory).glob(pattern))


@contextmanager
def _without_bars(transformers: Any) -> Iterator[None]:
    """A folder is read in a moment: no bar of transformers on stderr; afterwards they are as they were."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def hf_inputs(model: Any, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """Keyword arguments for one call: tokens or pixels, as the config says.

    Raises:
        ModelError: the model's main input is neither, or its size is not in the config.
    """
    import torch

    config, main = model.config, model.main_input_name
    generator = torch.Generator().manual_seed(0)
    if main == "input_ids":
        tokens = torch.randint(0, config.get_text_config().vocab_size, shape or (1, TOKENS), generator=generator)
        inputs = {"input_ids": tokens}
        if config.is_encoder_decoder:
            inputs["decoder_input_ids"] = tokens
        # The cache of a generating model is an output of its own, and no part of what is compared.
        return inputs | ({"use_cache": False} if getattr(config, "use_cache", False) else {})
    side = getattr(config, "image_size", None)
    if main == "pixel_values" and (shape or side):
        sides = tuple(side) if isinstance(side, (list, tuple)) else (side, side)
        size = shape or (1, getattr(config, "num_channels", 3), *sides)
        return {"pixel_values": torch.randn(size, generator=generator)}
    raise ModelError(
        f"{type(model).__name__} takes {main!r}, for which no example is known; write a function that returns "
        "(model, example_inputs) and give it as path/file.py:function"
    )


def _no_such(library: str, name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=4)
    hint = f"; did you mean {', '.join(near)}?" if near else f"; there are {len(names)}, e.g. {', '.join(names[:4])}"
    return f"{library} has no model {name!r}{hint}"
