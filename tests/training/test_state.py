"""A training run that was cut off goes on to the same result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import TINY
from xdeepr import fit
from xdeepr.errors import TrainingError
from xdeepr.training import loop, state
from xdeepr.training.state import STATE, save_state

STEPS, CUT = 24, 13


@pytest.fixture(scope="module")
def options(statics):
    return {
        "covariates": statics,
        "max_steps": STEPS,
        "batch_size": 4,
        "validation": 0.2,
        "network": {**TINY, "dropout": 0.2},
        "progress": False,
    }


@pytest.fixture(scope="module")
def uncut(italy_lr, italy_hr, options):
    return fit(italy_lr, italy_hr, **options)


class PowerCut(Exception):
    """Stands for the machine going down."""


def cut_after(monkeypatch, steps):
    """Let the machine go down after some steps; the state was kept at the last evaluation."""
    step = loop.Trainer._step

    def counted(self):
        if self.progress.step >= steps:
            raise PowerCut
        return step(self)

    monkeypatch.setattr(loop.Trainer, "_step", counted)


def weights(model):
    return torch.cat([p.detach().ravel() for p in model.network.parameters()])


def test_resumed_equals_uncut_to_the_bit(italy_lr, italy_hr, options, uncut, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_after(patch, CUT)
        fit(italy_lr, italy_hr, keep=tmp_path, **options)
    assert (tmp_path / STATE).is_file()
    resumed = fit(italy_lr, italy_hr, keep=tmp_path, **options)
    torch.testing.assert_close(weights(resumed), weights(uncut), rtol=0, atol=0)
    for ours, theirs in zip(resumed.curve, uncut.curve, strict=True):
        assert ours == theirs
    assert resumed.card.training["steps"] == STEPS


def test_between_evaluations_the_state_is_kept_by_the_clock(
    italy_lr, italy_hr, options, uncut, tmp_path, monkeypatch
):
    monkeypatch.setattr(state, "KEEP_SECONDS", 0)
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_after(patch, CUT)
        fit(italy_lr, italy_hr, keep=tmp_path, **options)
    done = []
    step = loop.Trainer._step
    monkeypatch.setattr(
        loop.Trainer, "_step", lambda self: (done.append(self.progress.step), step(self))[1]
    )
    resumed = fit(italy_lr, italy_hr, keep=tmp_path, **options)
    assert done == [*range(CUT, STEPS)]
    torch.testing.assert_close(weights(resumed), weights(uncut), rtol=0, atol=0)
    assert resumed.curve == uncut.curve


@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupted_run_says_how_to_go_on(
    kept, italy_lr, italy_hr, options, tmp_path, monkeypatch
):
    step = loop.Trainer._step

    def interrupted(self):
        if self.progress.step == CUT:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(loop.Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        fit(italy_lr, italy_hr, keep=tmp_path if kept else None, **options)
    (note,) = stop.value.__notes__
    expected = f"step 10 is kept in {tmp_path}: run the same again" if kept else "nothing is kept"
    assert note.startswith(expected)


def test_a_finished_run_is_not_trained_again(italy_lr, italy_hr, options, tmp_path, monkeypatch):
    first = fit(italy_lr, italy_hr, keep=tmp_path, **options)
    cut_after(monkeypatch, 0)
    again = fit(italy_lr, italy_hr, keep=tmp_path, **options)
    torch.testing.assert_close(weights(again), weights(first), rtol=0, atol=0)


def test_the_state_of_another_run_is_refused(italy_lr, italy_hr, options, tmp_path):
    fit(italy_lr, italy_hr, keep=tmp_path, **{**options, "max_steps": 2})
    for change, word in (
        ({"learning_rate": 1e-4}, "learning_rate"),
        ({"covariates": None}, "normalization"),
        ({"network": {**TINY, "layers_per_block": 2}}, "network"),
        ({"validation": 0.4}, "number of times"),
    ):
        with pytest.raises(TrainingError, match=rf"another.*{word}.*another folder"):
            fit(italy_lr, italy_hr, keep=tmp_path, **{**options, "max_steps": 2, **change})


def test_a_damaged_state_is_refused(italy_lr, italy_hr, options, tmp_path):
    fit(italy_lr, italy_hr, keep=tmp_path, **{**options, "max_steps": 2})
    file = tmp_path / STATE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"damaged.*delete"):
        fit(italy_lr, italy_hr, keep=tmp_path, **{**options, "max_steps": 2})


def test_a_half_written_state_does_not_replace_the_last_one(tmp_path, monkeypatch):
    (tmp_path / STATE).write_bytes(b"the last one")

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(state, "save_file", full_disk)
    monkeypatch.setattr(state, "describe_run", lambda trainer: {})

    class Fake:
        network = torch.nn.Linear(1, 1)
        ema = type("E", (), {"weights": {}})
        best: dict = {}  # noqa: RUF012
        optimizer = torch.optim.AdamW(network.parameters())
        progress = loop.Progress()

    with pytest.raises(OSError, match="no space"):
        save_state(Fake(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [STATE]
    assert (tmp_path / STATE).read_bytes() == b"the last one"


def test_the_users_random_state_is_left_alone(italy_lr, italy_hr, options):
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(italy_lr, italy_hr, **{**options, "max_steps": 2})
    torch.testing.assert_close(torch.rand(3), expected)
