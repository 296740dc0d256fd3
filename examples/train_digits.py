"""Trains the small ResNet of ``netsmith.zoo`` on scikit-learn's digits and writes its weights: something to shrink.

python examples/train_digits.py [FILE]        (default: out/digits.safetensors; about ten seconds)
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from netsmith.checks.classification import classification
from netsmith.data import batches, digits
from netsmith.training import finetune
from netsmith.zoo import digits_resnet


def main(file: Path) -> None:
    torch.manual_seed(0)
    splits = digits()
    model = finetune(digits_resnet(), batches(splits.train, 64, shuffle=True), epochs=4, lr=0.1)
    scores = classification(model, batches(splits.validation, 256))
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), file)
    print(f"{file}: accuracy {scores['accuracy']:.1%} on validation data")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/digits.safetensors"))
