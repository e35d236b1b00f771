"""Embeddings of hour, day of the year and noise level."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps, get_timestep_embedding

from tests.networks.helpers import TIMES
from xdeepr.errors import OptionError
from xdeepr.networks.time_labels import ENCODINGS, PERIODS, FourierFeatures, TimeLabels, sinusoid

HOURS = torch.tensor([0.0, 5.0, 11.5, 23.999])


@pytest.mark.parametrize("width", [8, 9, 64])
@pytest.mark.parametrize("max_period", [24, 366, 10_000])
def test_sinusoid_is_that_of_diffusers(width: int, max_period: int) -> None:
    ours = sinusoid(HOURS, width, max_period=max_period)
    theirs = get_timestep_embedding(HOURS, width, max_period=max_period)
    torch.testing.assert_close(ours, theirs)
    ours = sinusoid(HOURS, width, cosine_first=True, shift=0.0)
    torch.testing.assert_close(ours, Timesteps(width, True, 0)(HOURS))


@pytest.mark.parametrize("feature", PERIODS)
def test_positional_is_deeprs_option_b(feature: str) -> None:
    labels = TimeLabels({feature: "positional"}, 64)
    assert list(labels.parameters()) == []
    theirs = get_timestep_embedding(HOURS, 64, max_period=PERIODS[feature])
    torch.testing.assert_close(labels(HOURS[:, None]), theirs)


def test_timestep_is_that_of_diffusers() -> None:
    """DeepR's option C: the sinusoid of the noise level, then two layers."""
    labels = TimeLabels({"hour": "timestep"}, 64)
    theirs = TimestepEmbedding(16, 64)
    first, _, second = labels.embeddings["hour"]
    theirs.linear_1.load_state_dict(first.state_dict())
    theirs.linear_2.load_state_dict(second.state_dict())
    torch.testing.assert_close(labels(HOURS[:, None]), theirs(Timesteps(16, True, 0)(HOURS)))


def test_classes_are_whole_hours_and_days() -> None:
    labels = TimeLabels({"hour": "class", "day_of_year": "class"}, 8)
    assert labels.embeddings["hour"].num_embeddings == 24
    assert labels.embeddings["day_of_year"].num_embeddings == 366
    early, late = labels(torch.tensor([[6.0, 59.0], [6.9, 59.75]]))
    torch.testing.assert_close(early, late)
    other = labels(torch.tensor([[7.0, 59.0]]))[0]
    assert not torch.allclose(early, other)


@pytest.mark.parametrize(("feature", "period"), PERIODS.items())
def test_the_last_instant_has_a_class(feature: str, period: int) -> None:
    """In single precision it is rounded up to the period itself."""
    labels = TimeLabels({feature: "class"}, 8)
    edge = torch.tensor([[float(period) - 1e-9], [0.0], [float(period) - 0.01]])
    last, first, before = labels(edge)
    torch.testing.assert_close(last, first)
    torch.testing.assert_close(before, labels.embeddings[feature].weight[-1])


@pytest.mark.parametrize("first", ENCODINGS)
@pytest.mark.parametrize("second", ENCODINGS)
def test_labels_add_up(first: str, second: str) -> None:
    encodings = {"day_of_year": first, "hour": second}
    labels = TimeLabels(encodings, 32)
    values = torch.tensor([[200.0, 6.5], [10.25, 18.0]])
    tokens = labels.tokens(values)
    assert tokens.shape == (2, 2, 32)
    torch.testing.assert_close(labels(values), tokens[:, 0] + tokens[:, 1])
    # each column belongs to its own feature
    moved = labels.tokens(values + torch.tensor([0.0, 3.0]))
    torch.testing.assert_close(moved[:, 0], tokens[:, 0])
    assert not torch.allclose(moved[:, 1], tokens[:, 1])


@pytest.mark.parametrize(
    ("encodings", "message"),
    [
        ({"hours": "class"}, "'hours' is not one of .* Did you mean 'hour'"),
        ({"hour": "clas"}, "'clas' is not one of .* Did you mean 'class'"),
        ({"hour": "cyclical"}, "class, positional, timestep"),
        ({"month": "class"}, "hour, day_of_year"),
    ],
)
def test_unknown_names(encodings: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TimeLabels(encodings, 8)


@pytest.mark.parametrize("labels", [None, torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2)])
def test_missing_labels_are_named(labels: torch.Tensor | None) -> None:
    with pytest.raises(OptionError, match=r"time_labels=.*hour.*\(N, 2\)"):
        TimeLabels(TIMES, 8)(labels)


def test_low_precision_labels_and_weights() -> None:
    labels = TimeLabels({"hour": "class", "day_of_year": "timestep"}, 16).to(torch.bfloat16)
    out = labels(torch.tensor([[6.0, 59.0]], dtype=torch.bfloat16))
    assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize("width", [1, 7, 8])
def test_fourier_features_are_kept_with_the_weights(width: int) -> None:
    one, other = FourierFeatures(width), FourierFeatures(width)
    values = torch.linspace(-400, 400, 9)
    assert one(values).shape == (9, width)
    assert not torch.allclose(one(values), other(values))
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(values), other(values))
    assert list(one.parameters()) == [], "the frequencies are not trained"


def test_fourier_features_change_smoothly_with_the_noise_level() -> None:
    """A change of log(sigma) by a thousandth is a small change; negative levels are no trouble."""
    torch.manual_seed(0)
    features = FourierFeatures(64)
    levels = 250 * torch.linspace(-1.5, 1.5, 3001)
    steps = features(levels).diff(dim=0).norm(dim=1)
    assert bool(torch.isfinite(steps).all())
    far = (features(levels[:1]) - features(levels[1500:1501])).norm()
    assert float(steps.max()) < 0.02 * float(far)


def test_labels_are_those_that_fit_offers() -> None:
    """Networks know nothing of what is above them, so that the names stand in two places."""
    from xdeepr.inputs import times

    assert ENCODINGS == times.EMBEDDED
    assert tuple(PERIODS) == times.TIME_FEATURES
