"""A small transformer language model on Shakespeare's plays: trained, shrunk to half of its MACs, healed.

python examples/shakespeare.py FILE        (tinyshakespeare.txt, or any other text)

Ten minutes on one core. The last tenth of the text is for measuring alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from netsmith import Budget, Result, shrink
from netsmith.training import distil, finetune, losses

CONTEXT = 64


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Writer(nn.Module):
    """Characters -> scores of the next one."""

    def __init__(self, characters: int, width: int, depth: int):
        super().__init__()
        self.tokens, self.places = nn.Embedding(characters, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, characters)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        return self.head(self.norm(self.blocks(x)))


def windows(text: Tensor, count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Batches of 32 pieces from random places, and the same pieces one character on."""
    starts = torch.randint(len(text) - CONTEXT, (count, 32), generator=torch.Generator().manual_seed(seed))
    pieces = [torch.stack([text[i : i + CONTEXT + 1] for i in row]) for row in starts.tolist()]
    return [(piece[:, :-1], piece[:, 1:]) for piece in pieces]


def next_character(scores: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(scores.flatten(0, 1), y.flatten())


def main(file: Path, *, width: int = 128, depth: int = 3, steps: int = 600) -> Result:
    torch.manual_seed(0)
    text = file.read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    letters = torch.tensor([number[character] for character in text])
    train, test = letters[: len(letters) * 9 // 10], windows(letters[len(letters) * 9 // 10 :], 20, seed=1)
    how = {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.05}
    model = finetune(
        Writer(len(alphabet), width, depth), windows(train, steps, seed=0), epochs=1, loss=next_character, **how
    )

    def evaluate(each: nn.Module) -> dict[str, float]:
        scores = [(each(x), y) for x, y in test]
        right = torch.cat([s.argmax(-1) == y for s, y in scores]).float().mean()
        return {"next character": float(right), "-nats": -float(sum(next_character(*pair) for pair in scores)) / 20}

    def heal(small: nn.Module, original: nn.Module) -> nn.Module:
        return distil(small, original, windows(train, steps // 4, seed=2), epochs=1, loss=losses.tokens, **how)

    calibration = [x for x, _ in windows(train, 16, seed=3)]
    return shrink(model, calibration[0][:2], budget=Budget(macs=0.5), data=calibration, evaluate=evaluate, heal=heal)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(main(Path(sys.argv[1])))
