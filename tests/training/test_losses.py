"""The three-term loss against direct computations in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdeepr.errors import OptionError
from xdeepr.training.losses import gaussian_blur, three_term_loss


@pytest.fixture
def pair(rng):
    """Prediction and target, with sizes that are no multiples of 4."""
    return rng.standard_normal((2, 3, 2, 13, 18)).astype(np.float32)


def blur_in_numpy(field, size):
    """Convolve one field with the full two-dimensional kernel, edges reflected."""
    half = size // 2
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    x = np.arange(-half, half + 1)
    kernel = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(field, half, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return (windows * kernel).sum(axis=(-2, -1))


def terms_in_numpy(prediction, target, factor, size):
    difference = (prediction - target).astype(np.float64)
    height, width = (n // factor * factor for n in difference.shape[-2:])
    blocks = difference[..., :height, :width].reshape(
        *difference.shape[:2], height // factor, factor, width // factor, factor
    )
    blurred = np.array([[blur_in_numpy(f, size) for f in entry] for entry in difference])
    return [
        np.abs(term).mean(axis=(1, 2, 3)) for term in (difference, blocks.mean((3, 5)), blurred)
    ]


@pytest.mark.parametrize(("factor", "size"), [(1, 5), (2, 5), (4, 5), (5, 3), (3, 7)])
def test_equals_the_sum_of_three_terms(pair, factor, size):
    loss = three_term_loss(*map(torch.from_numpy, pair), factor, kernel_size=size)
    expected = sum(terms_in_numpy(*pair, factor, size))
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


def test_each_term_counts():
    """Fields that only one of the terms can tell apart."""
    zero = torch.zeros(1, 1, 12, 12)
    checker = torch.ones(1, 1, 12, 12)
    checker[..., ::2, ::2] = checker[..., 1::2, 1::2] = -1
    # the block mean of a checkerboard vanishes, the smoothed one nearly
    assert float(three_term_loss(checker, zero, 4)) == pytest.approx(1, abs=0.01)
    # a constant is the same in all three
    assert float(three_term_loss(zero + 2, zero, 4)) == pytest.approx(6, rel=1e-6)


def test_properties(pair):
    a, b = map(torch.from_numpy, pair)
    loss = three_term_loss(a, b, 4)
    assert loss.shape == (3,)
    assert (loss > 0).all()
    assert (three_term_loss(a, a, 4) == 0).all()
    torch.testing.assert_close(three_term_loss(b, a, 4), loss)
    torch.testing.assert_close(three_term_loss(-3 * a, -3 * b, 4), 3 * loss)
    torch.testing.assert_close(three_term_loss(a + 7, b + 7, 4), loss, rtol=1e-4, atol=1e-5)
    # each entry of the batch has its own loss, whatever is beside it
    torch.testing.assert_close(three_term_loss(a[1:2], b[1:2], 4), loss[1:2])


def test_pixels_outside_whole_blocks_are_left_out_of_the_block_term():
    a = torch.zeros(1, 1, 9, 8)
    b = a.clone()
    b[..., 8, :] = 1
    loss = float(three_term_loss(a, b, 4))
    blurred = np.abs(blur_in_numpy(b[0, 0].numpy(), 5)).mean()
    assert loss == pytest.approx(1 / 9 + blurred, rel=1e-5)


def test_gradient_is_that_of_the_mean_absolute_error(pair):
    a, b = map(torch.from_numpy, pair)
    a.requires_grad_()
    three_term_loss(a, b, 4).sum().backward()
    assert torch.isfinite(a.grad).all()
    assert float((a.grad * (a - b).detach()).sum()) == pytest.approx(
        float(three_term_loss(a, b, 4).sum().detach()), rel=1e-4
    )  # the loss is homogeneous of degree 1 in the difference (Euler)


def test_blur_keeps_constants_and_slivers():
    assert torch.allclose(gaussian_blur(torch.full((1, 2, 9, 9), 3.0), 5), torch.tensor(3.0))
    sliver = torch.ones(1, 1, 1, 9)
    torch.testing.assert_close(gaussian_blur(sliver, 5), sliver)
    x = torch.arange(8.0).reshape(1, 1, 2, 4)
    torch.testing.assert_close(gaussian_blur(x, 1), x)


def test_errors():
    a = torch.zeros(1, 1, 8, 8)
    with pytest.raises(OptionError, match="kernel_size=4"):
        three_term_loss(a, a, 2, kernel_size=4)
    with pytest.raises(OptionError, match="factor=9"):
        three_term_loss(a, a, 9)
    with pytest.raises(OptionError, match="shapes"):
        three_term_loss(a, a[..., 1:], 2)
