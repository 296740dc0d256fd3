"""The board of a training run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import FileError, InputError
from netsmith.reports.tensorboard import picture, tensorboard
from netsmith.training import finetune
from run_records import full_run

pytest.importorskip("tensorboard")


def test_curves_and_structure_are_there(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    data = [(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))] * 3
    told = []
    with tensorboard(tmp_path) as board:
        board.structure(netsmith.trace(model, data[0][0]))

        def both(step, total, said):
            told.append(said)
            board.progress(step, total, said)

        finetune(model, data, epochs=2, validate=lambda m: 0.5, progress=both)
    found = EventAccumulator(str(tmp_path)).Reload()
    assert set(found.Tags()["scalars"]) >= {"training/loss", "training/lr", "training/score"}
    assert [e.step for e in found.Scalars("training/loss")][:3] == [1, 2, 3]
    assert found.Scalars("training/loss")[0].value == pytest.approx(told[0]["loss"])
    assert found.Images("structure/axes")
    assert found.Histograms("structure/widths")[0].histogram_value.max == 8


def test_a_run_has_scores_options_and_graph(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = full_run()
    with tensorboard(tmp_path) as board:
        board.run(run)
        board.graph(netsmith.trace(nn.Linear(4, 3), torch.randn(2, 4)))
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [event.value for event in found.Scalars("steps/accuracy")] == pytest.approx([0.95, 0.94])
    assert [event.value for event in found.Scalars("steps/macs")] == [1_000_000, 500_000]
    assert [event.value for event in found.Scalars("candidates/evolution/accuracy")] == pytest.approx([0.90, 0.94])
    assert found.Scalars("result/accuracy")[0].value == pytest.approx(0.94)
    assert "output" in [node.name for node in found.Graph().node]
    data = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    options = HParamsPluginData.FromString(data).session_start_info.hparams
    assert options["trials"].number_value == 40
    assert options["budget"].string_value == '{"macs": 0.5}'


def test_bars_are_as_long_as_axes_are_wide() -> None:
    image = picture(torch.tensor([8, 4]))
    inked = (image[0] != 255).sum(1)
    assert sorted(set(inked.tolist())) == [0, 320, 640]


def test_bad_input(tmp_path: Path) -> None:
    with tensorboard(tmp_path / "board") as board, pytest.raises(InputError, match="wiring is a Linear"):
        board.structure(nn.Linear(2, 2))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        with tensorboard(tmp_path / "file" / "below"):
            pass
