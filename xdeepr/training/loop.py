"""The training loop: batches in, averaged weights and a training curve out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from xdeepr.errors import TrainingError
from xdeepr.inputs.times import time_text
from xdeepr.training.batches import Batch, Batches
from xdeepr.training.ema import PowerEMA
from xdeepr.training.objectives import Objective
from xdeepr.training.precision import dtype_of
from xdeepr.training.settings import Settings
from xdeepr.training.windows import Draw

_EVALUATIONS = 40
"""About how often a run of known length looks at its validation part."""


@dataclass
class Progress:
    """Where a run stands; everything but the tensors that a resumed run needs.

    Parameters
    ----------
    elapsed
        Seconds of training so far, over all sessions.
    best
        Lowest validation loss.
    stale
        Evaluations since then.
    running
        Running mean of the training loss.
    """

    step: int = 0
    elapsed: float = 0.0
    best: float = math.inf
    stale: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    running: float = math.nan


class Trainer:
    """Train one network, on its device, on one set of pairs, watched on another if there is one."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        batches: Batches,
        validation: Batches | None,
        draw: Draw,
        settings: Settings,
    ) -> None:
        self.network, self.objective, self.batches = network, objective, batches
        self.pairs, self.draw, self.settings = batches.pairs, draw, settings
        self.device = next(network.parameters()).device
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.99),
        )
        self.ema = PowerEMA(network)
        self.best = {k: v.clone() for k, v in self.ema.weights.items()}
        self.progress = Progress()
        self.limit = settings.step_limit(draw.steps_per_epoch)
        self.precision = dtype_of(settings.precision, self.device)
        self.held_out = [] if validation is None else self._held_out(validation)

    def run(
        self, *, show: bool = True, save: Callable[..., None] | None = None
    ) -> dict[str, torch.Tensor]:
        """Train until a limit is reached or the validation loss stops falling.

        Return the averaged weights of the best evaluation (of the end, without a validation part).
        `save` is called after every step with ``now=``, whether there was an evaluation, to keep
        the state to resume from.
        """
        progress, started = self.progress, time.monotonic() - self.progress.elapsed
        devices = [self.device] if self.device.type == "cuda" else []
        bar = tqdm(
            total=self.limit, initial=progress.step, desc="training", unit="step", disable=not show
        )
        # the user's random state stays as it was
        with torch.random.fork_rng(devices=devices), bar:
            while not self._finished():
                progress.running = self._smooth(self._step())
                progress.step += 1
                progress.elapsed = time.monotonic() - started
                self.ema.update(self.network, progress.step)
                evaluated = self._is_time_to_evaluate()
                if evaluated:
                    self._evaluate()
                if save is not None:
                    save(now=evaluated)
                bar.update()
                bar.set_postfix(self._postfix(), refresh=False)
            if not progress.curve or progress.curve[-1]["step"] != progress.step:
                self._evaluate()
                if save is not None:
                    save(now=True)
        return self.best if self.held_out else self.ema.weights

    def _step(self) -> float:
        """Do one step of the optimizer and return its loss."""
        step, settings = self.progress.step, self.settings
        batch = self.batches.at(self.draw.places(step), self.draw.keep(step))
        torch.manual_seed(int(self.draw.generator(2, step).integers(2**62)))  # for dropout
        drawn = self.objective.draw(self.draw.generator(3, step), batch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.network.train()
        loss = self._losses(batch, *drawn).mean()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(batch, value)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizer.step()
        return value

    def _losses(self, batch: Batch, *drawn: torch.Tensor) -> torch.Tensor:
        """Return the loss of each entry, the network running in the chosen precision."""
        enabled = self.precision != torch.float32
        with torch.autocast(self.device.type, dtype=self.precision, enabled=enabled):
            return self.objective.losses(
                self.network, batch.to(self.device), *(d.to(self.device) for d in drawn)
            )

    def learning_rate(self) -> float:
        """Return the rate at this point: linear warm-up, then a cosine to zero."""
        done, warmup, peak = self.fraction_done(), self.settings.warmup, self.settings.learning_rate
        if done < warmup:
            # the first step must not be lost to a rate of zero
            return peak * max(done / warmup, 0.02)
        return peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))

    def fraction_done(self) -> float:
        """Return how much of the run is over: the greater of its part in steps and in time."""
        parts = [0.0]
        if self.limit is not None:
            parts.append(self.progress.step / self.limit)
        if self.settings.max_time is not None:
            parts.append(self.progress.elapsed / self.settings.max_time)
        return min(1.0, max(parts))

    def _finished(self) -> bool:
        """Whether a limit is reached or the validation loss has stopped falling."""
        return self.fraction_done() >= 1 or self.progress.stale >= self.settings.patience

    def _held_out(self, validation: Batches) -> list[tuple[Batch, tuple[torch.Tensor, ...]]]:
        """Draw windows, noise levels and noise of the validation part, once for the run."""
        size = self.settings.batch_size
        count = min(len(validation), 4 * size)
        times = [round(i * (len(validation) - 1) / max(count - 1, 1)) for i in range(count)]
        generator = self.draw.generator(4)
        places = [(time, self.draw.any_window(generator)) for time in times]
        out = []
        for first in range(0, count, size):
            batch = validation.at(places[first : first + size])
            out.append((batch, self.objective.draw(generator, batch)))
        return out

    def _is_time_to_evaluate(self) -> bool:
        """Whether this step ends with a look at the validation part."""
        steps = self.draw.steps_per_epoch
        if self.limit is not None:
            steps = max(steps, self.limit // _EVALUATIONS)
        return self.progress.step % max(steps, 10) == 0

    @torch.no_grad()
    def _evaluate(self) -> None:
        """Append to the curve; keep the averaged weights if they are the best so far."""
        progress = self.progress
        entry: dict[str, Any] = {
            "step": progress.step,
            "train_loss": progress.running,
            "learning_rate": self.learning_rate(),
        }
        if self.held_out:
            loss = entry["validation_loss"] = self._validation_loss()
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the validation loss of {', '.join(self.pairs.names[1])} became {loss} at step"
                    f" {progress.step}: use a smaller learning_rate (now"
                    f" {self.settings.learning_rate:g}) or precision='float32'."
                )
            progress.stale += 1
            if loss < progress.best:
                progress.best, progress.stale = loss, 0
                self.best = {k: v.clone() for k, v in self.ema.weights.items()}
        progress.curve.append(entry)

    def _validation_loss(self) -> float:
        """Return the mean loss of the averaged weights on the validation part."""
        own = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.ema.weights)
        self.network.eval()
        losses = torch.cat([self._losses(batch, *drawn) for batch, drawn in self.held_out])
        self.network.load_state_dict(own)
        return float(losses.mean())

    def _smooth(self, value: float) -> float:
        """Return the running mean of the training loss with one more value."""
        running = self.progress.running
        return value if math.isnan(running) else 0.95 * running + 0.05 * value

    def _postfix(self) -> dict[str, str]:
        """Return what the progress bar shows."""
        shown = {"loss": f"{self.progress.running:.3f}"}
        if self.held_out and math.isfinite(self.progress.best):
            shown["best validation"] = f"{self.progress.best:.3f}"
        return shown

    def _diverged(self, batch: Batch, value: float) -> TrainingError:
        """Return the error for a loss that is not finite."""
        times = ", ".join(time_text(self.pairs.times.stamps[t]) for t in batch.times[:3])
        return TrainingError(
            f"the loss of {', '.join(self.pairs.names[1])} became {value} at step"
            f" {self.progress.step} (times {times}, …): use a smaller learning_rate (now"
            f" {self.settings.learning_rate:g}) or precision='float32', and look for extreme"
            " values at these times."
        )
