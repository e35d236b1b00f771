"""Solvers that are functions, on targets whose denoiser is exact."""

from __future__ import annotations

import math
import pickle
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from dask.base import tokenize

from xdeepr.errors import OptionError
from xdeepr.sampling import solvers
from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.sample import sample
from xdeepr.sampling.samplers import Sampler, as_sampler
from xdeepr.sampling.solvers import SOLVERS, Solver, heun_churn
from xdeepr.testing import check_solver
from xdeepr.testing.gaussian import DEVIATION, GaussianTarget, keyed_noise, pixel_denoiser

every_solver = pytest.mark.parametrize("name", SOLVERS)


@every_solver
def test_every_solver_conforms(name):
    check_solver(name)


@pytest.mark.parametrize(
    "options",
    [
        {"s_churn": 40.0},
        {"s_churn": 1e9},
        {"s_churn": 20.0, "s_tmin": 0.1, "s_tmax": 5.0},
        {"s_churn": 5.0, "s_noise": 1.003, "rho": 5.0, "sigma_max": 40.0},
    ],
)
def test_churn_keeps_the_target(options):
    check_solver(Sampler("heun-churn", options=options))


def test_on_timesteps_of_the_training():
    trained = NoiseLevels(prediction="epsilon")
    check_solver(Sampler("heun-churn", options={"spacing": "trained"}), trained=trained)


@pytest.fixture
def smooth() -> GaussianTarget:
    """A target whose pixels depend on each other, at several rates along the flow."""
    return GaussianTarget.smooth(6)


def error(target: GaussianTarget, steps: int, s_churn: float = 0.0) -> float:
    """Distance to the exact end of the flow at the least level; the step to 0 has no order."""
    levels = NoiseLevels().descending(steps)[:-1]
    x = keyed_noise(0, members=range(8), shape=(6, 6)).double()
    out = heun_churn(target.denoiser, x, levels, keyed_noise, s_churn=s_churn)
    return float((out - target.flow(levels[0] * x, levels[0], levels[-1])).abs().max())


def test_without_churn_it_is_of_second_order(smooth):
    """Twice the steps, a quarter of the error; of first order it would be a half."""
    errors = [error(smooth, steps + 1) for steps in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.15)


def test_churn_gives_the_covariance_of_the_target(smooth):
    """Not only each pixel's variance: the noise that is added has to come out again everywhere."""
    members, options = 3000, {"s_churn": 30.0}

    def noise(stream: int) -> torch.Tensor:
        return torch.randn(members, 1, 6, 6, generator=torch.Generator().manual_seed(stream))

    out = sample(smooth.denoiser, noise, Sampler("heun-churn", 60, options)).double().flatten(1)
    sampling = DEVIATION**2 * math.sqrt(2 / members)  # deviation of an estimated variance
    assert float((out.T.cov() - smooth.covariance).abs().max()) < 5 * sampling
    means = out.mean(0) - smooth.mean.flatten()
    assert float(means.abs().max()) < 5 * DEVIATION / math.sqrt(members)


def test_churn_is_between_its_limits_only():
    """Noise of step i is that of stream i + 1, whatever was drawn before."""
    streams: list[int] = []

    def noise(stream: int) -> torch.Tensor:
        streams.append(stream)
        return keyed_noise(stream)

    options = {"s_churn": 5.0, "s_tmin": 0.5, "s_tmax": 5.0}
    sample(pixel_denoiser, noise, Sampler("heun-churn", 12, options))
    levels = NoiseLevels().descending(12)
    assert streams == [0, *(i + 1 for i, t in enumerate(levels) if 0.5 <= t <= 5)]


# ---------------------------------------------------------------- the registry


def euler(denoiser, x, noise_levels, noise, *, boost=1.0):
    """A solver as a user would write it."""
    x = x * noise_levels[0]
    for sigma, after in pairwise(noise_levels):
        x = x + boost * (after - sigma) * (x - denoiser(x, sigma)) / sigma
    return x


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Solver:
    """One's own solver, registered while a test runs."""
    solver = Solver(solve=euler, note="Euler on Karras levels", steps=7)
    monkeypatch.setitem(SOLVERS, "my-euler", solver)
    return solver


def test_a_line_in_the_registry_is_all(mine):
    check_solver("my-euler")
    sampler = as_sampler({"name": "My_Euler", "boost": 1.0, "rho": 5.0}, None)
    assert (sampler.name, sampler.levels, sampler.evaluations) == ("my-euler", 7, 7)
    assert sampler.describe() == "my-euler steps=7 boost=1.0 rho=5.0"


def test_it_is_what_diffusers_calls_euler(mine):
    ours = sample(pixel_denoiser, keyed_noise, Sampler("my-euler", 12))
    theirs = sample(pixel_denoiser, keyed_noise, Sampler("edm-euler", 12))
    # which starts with the deviation of the field too: sqrt(20² + 1) in place of 20
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)


def test_it_travels_with_the_sampler(mine, monkeypatch):
    """A worker's registry does not know it."""
    sent = pickle.dumps(Sampler("my-euler"))
    monkeypatch.delitem(SOLVERS, "my-euler")
    with pytest.raises(OptionError, match="is not a solver"):
        Sampler("my-euler")
    arrived = pickle.loads(sent)
    assert torch.isfinite(sample(pixel_denoiser, keyed_noise, arrived)).all()
    assert tokenize(arrived) == tokenize(pickle.loads(sent))


def test_errors_name_the_cure(mine):
    with pytest.raises(OptionError, match=r"SOLVERS\[\"mine\"\] = Solver"):
        Sampler(euler)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"'heun-chrun' is not a solver.*heun-churn"):
        Sampler("heun-chrun")
    with pytest.raises(OptionError, match=r"'s_chrun' is not one of.*Did you mean 's_churn'"):
        Sampler("heun-churn", options={"s_chrun": 1.0})
    with pytest.raises(OptionError, match="s_churn='much': give a number"):
        Sampler("heun-churn", options={"s_churn": "much"})
    with pytest.raises(OptionError, match=r"steps=0: .*at least 1"):
        Sampler("my-euler", 0)


def test_the_check_sees_what_is_wrong(monkeypatch):
    """Its own guard: a solver that loses variance, draws by itself, or looks at the whole field."""

    def shrinking(denoiser, x, noise_levels, noise):
        return euler(denoiser, x, noise_levels, noise, boost=0.9)

    def centred(denoiser, x, noise_levels, noise):
        return euler(denoiser, x - x.mean(), noise_levels, noise)

    def random(denoiser, x, noise_levels, noise):
        out = euler(denoiser, x, noise_levels, noise)
        return out + 1e-3 * torch.randn_like(out)

    wrong = {shrinking: "standard deviation|mean", centred: "depends on", random: "noise.stream"}
    for solve, message in wrong.items():
        monkeypatch.setitem(SOLVERS, "wrong", Solver(solve=solve, note=""))
        with pytest.raises(AssertionError, match=message):
            check_solver("wrong")
    monkeypatch.setitem(SOLVERS, "wrong", Solver(solve=heun_churn, note="", cost="N"))
    with pytest.raises(AssertionError, match="15 evaluations, where 8"):
        check_solver("wrong")


def test_registering_needs_no_torch_and_options_are_read_from_the_function():
    assert set(SOLVERS["heun-churn"].options) == {"s_churn", "s_tmin", "s_tmax", "s_noise"}
    assert not {"torch", "diffusers"} & set(vars(solvers))


# ---------------------------------------------------------------- the page for analysts

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "samplers.md").read_text()


@every_solver
def test_the_page_has_each_solver_and_is_right_about_its_spread(name):
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    _, note, draws, cost, steps, *spreads = (cell.strip() for cell in line.strip("|").split(" | "))
    solver = SOLVERS[name]
    words = {"no": "deterministic", "yes": "stochastic", "option": "by option"}
    assert (note, draws, cost, steps) == (
        solver.note, words[solver.draws], solver.cost, str(solver.steps),
    )  # fmt: skip
    for text, count in zip(spreads, (10, solver.steps), strict=True):
        out = sample(
            pixel_denoiser, lambda s: keyed_noise(s, shape=(160, 160)), Sampler(name, count)
        )
        percent = float(re.sub("[ %|]", "", text).replace("−", "-"))
        assert 100 * (float(out.std()) / DEVIATION - 1) == pytest.approx(percent, abs=2)
