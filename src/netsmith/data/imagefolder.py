"""A folder of images, one sub-folder a class."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from .images import Pixels, check_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """Images read from disk when they are asked for.

    Attributes:
        classes: names of the sub-folders, sorted; the label is the position in this tuple.
        files: (file, label) of every image, sorted.
        shape: (C, H, W) of every image.
    """

    def __init__(self, path: str | Path, pixels: Pixels) -> None:
        root = Path(path)
        if not root.is_dir():
            raise InputError(f"imagefolder: {root} is no folder")
        folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not folders:
            raise InputError(
                f"imagefolder: {root} has no sub-folders; it needs one a class, e.g. {root / 'cat' / '1.png'}"
            )
        found = {p: sorted(f for f in p.rglob("*") if f.suffix.lower() in SUFFIXES) for p in folders}
        without = [p.name for p, files in found.items() if not files]
        if without:
            raise InputError(
                f"imagefolder: no images in {', '.join(without[:5])} under {root}; "
                f"add some or remove the folder. Images end in {' '.join(SUFFIXES)}"
            )
        self.classes = tuple(p.name for p in folders)
        self.files = tuple((file, label) for label, p in enumerate(folders) for file in found[p])
        self.pixels = pixels
        self.shape = tuple(self._read(0).shape)

    def _read(self, index: int) -> Tensor:
        file = self.files[index][0]
        try:
            with file.open("rb") as stream:
                return self.pixels.decode(stream, str(file))
        except OSError as error:
            raise InputError(f"{file} cannot be opened: {error.strerror or error}") from error

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._read(index)
        check_size(image, self.shape, str(self.files[index][0]))
        return image, self.files[index][1]


def imagefolder(path: str | Path, *, pixels: Pixels | None = None) -> ImageFolder:
    """Images below ``path``, one sub-folder a class: ``path/cat/1.png`` has the label of "cat".

    Args:
        path: the folder.
        pixels: colour mode, normalisation and size; None: RGB in 0..1, all of one size.

    Returns:
        A data set of (image (C, H, W) float32, label), in the order of the sorted names.

    Raises:
        InputError: no folder, no sub-folders, one without images, an image that cannot be read or has another size.

    Example:
        >>> data = imagefolder("flowers/train", pixels=Pixels(resize=(224, 224)))  # doctest: +SKIP
    """
    return ImageFolder(path, pixels or Pixels())
