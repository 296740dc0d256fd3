"""How alike the outputs of different blocks are, on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import InputError, UnknownNameError
from ..wiring import Wiring, call_model
from ..wiring.recorder import tensors_in
from .batches import calibration_batches, device_of
from .masks import Mask, counted_part, mask_of

Likeness = Literal["cka", "cosine"]
Pair = tuple[str, str]


def similarity(
    wiring: Wiring,
    data: Iterable[Any],
    pairs: Iterable[Pair],
    *,
    kind: Likeness = "cka",
    most_examples: int = 256,
    most_rows: int = 4096,
    mask: Mask | None = None,
    seed: int = 0,
) -> dict[Pair, float]:
    """How alike what two modules give is, for each pair.

    One pass over the data; kept are sums of d × d products for each module and pair, with d the features. The same
    positions of both modules are compared, so both must have them in one place.

    Args:
        wiring: of the model.
        data: unlabelled batches, each ``x`` or ``(x, y)``.
        pairs: of module paths; each module runs once and gives a tensor first.
        kind: "cka": linear centred kernel alignment, which a rotation of the features or a common factor does not
            change; "cosine": mean cosine of the two outputs at each position, which needs equal widths.
        most_examples: used at most.
        most_rows: positions drawn from each batch at most, for "cka".
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count.
        seed: of the drawn positions.

    Returns:
        pair -> similarity: "cka" 0 to 1, "cosine" -1 to 1.

    Raises:
        InputError: kind, data of the wrong kind, or outputs that have not the same positions or widths.
        UnknownNameError: no such module, or one that forward does not call.
        EvidenceError: empty data, or values that are not finite.

    Source: Kornblith et al., ICML 2019, arXiv:1905.00414 (linear CKA).
    """
    if kind not in ("cka", "cosine"):
        raise InputError(f'kind={kind!r}; give "cka" or "cosine"')
    chosen = list(pairs)
    known = dict(wiring.model.named_modules())
    for name in (name for pair in chosen for name in pair):
        if name not in known:
            raise UnknownNameError(f"{name!r} is no module of this model")
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    generator = torch.Generator().manual_seed(seed)
    sums: dict[Pair, _Alignment] = {pair: _Alignment() for pair in chosen}
    with eval_mode(wiring.model), torch.no_grad():
        for inputs in batches:
            found = _outputs(wiring.model, {name for pair in chosen for name in pair}, inputs)
            counted = mask_of(mask, inputs)
            rows = {name: _rows(tensor, counted) for name, tensor in found.items()}
            for pair in chosen:
                x, y = (rows[name] for name in pair)
                if len(x) != len(y) or (kind == "cosine" and x.shape != y.shape):
                    raise InputError(
                        f"{pair[0]!r} gives {tuple(found[pair[0]].shape)} and {pair[1]!r} "
                        f"{tuple(found[pair[1]].shape)}: they cannot be compared position by position"
                    )
                if kind == "cosine":
                    sums[pair].add_cosine(x, y)
                else:
                    drawn = torch.randperm(len(x), generator=generator)[:most_rows].to(x.device)
                    sums[pair].add(x[drawn], y[drawn])
    return {pair: each.value(kind) for pair, each in sums.items()}


class _Alignment:
    """Sums over rows of two outputs."""

    def __init__(self) -> None:
        self.rows = 0
        self.cosines = 0.0
        self.products: list[torch.Tensor] = []  # xx, yy, xy
        self.means: list[torch.Tensor] = []

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """x (rows, d), y (rows, e)."""
        x, y = x.double(), y.double()
        new, means = [x.T @ x, y.T @ y, x.T @ y], [x.sum(0), y.sum(0)]
        self.products = [a + b for a, b in zip(self.products, new, strict=True)] if self.rows else new
        self.means = [a + b for a, b in zip(self.means, means, strict=True)] if self.rows else means
        self.rows += len(x)

    def add_cosine(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.cosines += float(nn.functional.cosine_similarity(x, y, dim=1).double().sum())
        self.rows += len(x)

    def value(self, kind: Likeness) -> float:
        if kind == "cosine":
            return self.cosines / self.rows
        x, y = (mean / self.rows for mean in self.means)
        crosses = (torch.outer(x, x), torch.outer(y, y), torch.outer(x, y))
        norms = [float((p / self.rows - c).square().sum()) for p, c in zip(self.products, crosses, strict=True)]
        return norms[2] / max((norms[0] * norms[1]) ** 0.5, 1e-300)


def _rows(tensor: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """(positions that count, features) of an output; features are dimension 1 of images, else the last."""
    out = (tensor.movedim(1, -1) if tensor.dim() == 4 else tensor).float()
    return counted_part(out, counted).reshape(-1, out.shape[-1])


def _outputs(model: nn.Module, names: Iterable[str], inputs: Any) -> dict[str, torch.Tensor]:
    """The first tensor that each module gives in one forward."""
    found: dict[str, torch.Tensor] = {}
    handles = []

    def leave(name: str, module: nn.Module, args: tuple, out: Any) -> None:
        found[name] = tensors_in(out)[0].detach().clone()  # something may overwrite it

    names = sorted(names)
    register: Callable[..., Any]
    try:
        for name in names:
            register = model.get_submodule(name).register_forward_hook
            handles.append(register(partial(leave, name)))
        call_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in names if name not in found]
    if missing:
        raise UnknownNameError(f"forward does not call {missing[0]!r}, so it gives no output to compare")
    return found
