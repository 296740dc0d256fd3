"""Name -> batches."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from netsmith.data import Pixels, open_data
from netsmith.errors import InputError, UnknownNameError


@pytest.fixture
def script(tmp_path: Path):
    def write(text: str) -> str:
        file = tmp_path / "mydata.py"
        file.write_text(text)
        return str(file)

    return write


def test_digits_and_its_splits() -> None:
    assert sum(len(y) for _, y in open_data("digits", batch_size=256)) == 1149
    assert sum(len(y) for _, y in open_data("digits:test", batch_size=256)) == 360
    with pytest.raises(UnknownNameError, match="no split 'dev'; it has train, validation and test"):
        open_data("digits:dev")


def test_imagefolder_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "one" / "a.png")
    x, y = next(iter(open_data(f"imagefolder:{tmp_path}", pixels=Pixels(resize=(2, 2)))))
    assert (tuple(x.shape), y.tolist()) == ((1, 3, 2, 2), [0])

    stream = io.BytesIO()
    Image.new("RGB", (3, 3)).save(stream, "PNG")
    pq.write_table(pa.table({"image": [stream.getvalue()], "label": [4]}), tmp_path / "d.parquet")
    x, y = next(iter(open_data(f"parquet:{tmp_path / 'd.parquet'}")))
    assert (tuple(x.shape), y.tolist()) == ((1, 3, 3, 3), [4])


@pytest.mark.parametrize("name", ["mnist", "", "imagefolder:", "parquet:", "nothing.txt:load", "data.py"])
def test_an_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown data(.|\n)*digits(.|\n)*imagefolder:DIR(.|\n)*function"):
        open_data(name)


def test_a_function_of_ones_own_may_import_its_neighbour_and_return_a_generator(script, tmp_path: Path) -> None:
    (tmp_path / "beside_mydata.py").write_text("SIZE = 3\n")
    file = script(
        "import torch\nfrom beside_mydata import SIZE\n"
        "def load():\n    for i in range(2):\n        yield torch.full((SIZE,), i), torch.arange(SIZE)\n"
    )
    data = open_data(f"{file}:load")
    for _ in range(2):  # every epoch gets all batches, although a generator can be read only once
        assert [int(x[0]) for x, _ in data] == [0, 1]
    assert torch.equal(next(iter(data))[1], torch.arange(3))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("def other(): ...\n", UnknownNameError, "has no function 'load'; it has other"),
        ("load = 3\n", UnknownNameError, "has no function 'load'; it has none"),
        ("def load():\n    raise KeyError('gone')\n", InputError, r"load\(\) raised KeyError: 'gone' \(line 2\)"),
        ("def load():\n    return 5\n", InputError, r"load\(\) returned int; it must return an iterable"),
        ("def load():\n    return 'text'\n", InputError, r"load\(\) returned str"),
        ("def load(path):\n    return []\n", InputError, r"load\(\) raised TypeError"),
        ("import absent_package_x\n", InputError, "cannot be run: ModuleNotFoundError.*absent_package_x"),
        ("def load(:\n", InputError, "cannot be run: SyntaxError"),
        ("raise SystemExit(1)\n", InputError, "cannot be run: SystemExit"),
    ],
)
def test_hostile_files(script, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_data(f"{script(text)}:load")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.py does not exist"):
        open_data(f"{tmp_path / 'absent.py'}:load")


def test_a_function_whose_batches_break_off(script) -> None:
    file = script(
        "import torch\nclass Batches(list):\n    def __iter__(self):\n        yield torch.zeros(1)\n"
        "        raise OSError('the disk is gone')\n"
        "def load():\n    return Batches([1, 2, 3])\n"
    )
    data = open_data(f"{file}:load")
    assert len(data) == 3  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"load\(\) raised OSError while it was read: the disk is gone \(line 5\)"):
        list(data)
