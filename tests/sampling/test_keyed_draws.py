"""Draws of torch inside a foreign solver are keyed."""

from __future__ import annotations

import pytest
import torch

from xdeepr.sampling.keyed_draws import KeyedBrownian, KeyedRandn
from xdeepr.sampling.noise import NoiseKey, white_noise


def noise(stream: int) -> torch.Tensor:
    return torch.from_numpy(white_noise(NoiseKey(1, 1, 0, 0, stream), (0, 0), (160, 160)))


def test_keyed_randn_leaves_other_functions_alone():
    with KeyedRandn(lambda stream: torch.full((2,), float(stream))):
        assert torch.randn((2,)).tolist() == [1.0, 1.0]
        assert torch.randn(2).tolist() == [2.0, 2.0]
        assert torch.zeros(2).tolist() == [0.0, 0.0]
        assert torch.randn(size=(2,)).tolist() == [3.0, 3.0]
        assert torch.randn_like(torch.zeros(2)).tolist() == [4.0, 4.0]
        with pytest.raises(RuntimeError, match="shape"):
            torch.randn((3,))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(2),
        lambda: torch.randint(5, (2,)),
        lambda: torch.normal(torch.zeros(2), 1.0),
        lambda: torch.zeros(2).normal_(),
        lambda: torch.zeros(2).uniform_(),
    ],
)
def test_draws_that_cannot_be_keyed_are_errors(draw):
    with (
        KeyedRandn(lambda stream: torch.zeros(2)),
        pytest.raises(RuntimeError, match="cannot be keyed"),
    ):
        draw()


def test_brownian_increments_belong_to_one_path():
    source = KeyedRandn(lambda stream: noise(stream))
    path = KeyedBrownian(source)
    half = path(9.0, 4.0) * 5**0.5
    whole = path(torch.tensor(9.0), torch.tensor(1.0)) * 8**0.5
    rest = path(4.0, 1.0) * 3**0.5
    torch.testing.assert_close(whole, half + rest, rtol=1e-5, atol=1e-5)
    assert source.drawn == 2
    for increment in (half / 5**0.5, whole / 8**0.5, rest / 3**0.5):
        assert float(increment.std()) == pytest.approx(1, abs=0.02)
    assert float((half * rest).mean()) == pytest.approx(0, abs=0.1)
    torch.testing.assert_close(path(1.0, 0.0), noise(3), rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="went back"):
        path(1.0, 20.0)
