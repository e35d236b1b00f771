"""The command ``xdeepr``: the verbs for batch jobs, and the demo."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdeepr._version import __version__
from xdeepr.errors import OptionError, XdeeprError

if TYPE_CHECKING:
    import xarray as xr

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

FAILED, INTERRUPTED = 1, 130
"""Exit codes; argparse exits with 2 for wrong usage. 130 is the shells' number for Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments. Default: those of the process.

    Returns
    -------
    int
        Exit code: 0, 1 for an error that xdeepr or the file system reports, 130 for Ctrl-C.

    Raises
    ------
    SystemExit
        With code 2 for wrong usage, with 0 for ``--help`` and ``--version``.

    Examples
    --------
    >>> main(["downscale", "lr.nc", "hr.nc", "--model", "ddpm"])  # doctest: +SKIP
    0
    """
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            run(options)
    except (XdeeprError, OSError) as error:
        _say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        _say("interrupted: nothing half-written is left")
        return INTERRUPTED
    return 0


# --- what each command does ---------------------------------------------------------------


def _demo(options: argparse.Namespace) -> None:
    from xdeepr.demo import run_demo

    run_demo(options.out, fit=options.fit, seed=options.seed, model=options.model)


def _downscale(options: argparse.Namespace) -> None:
    from xdeepr.downscaling import downscale
    from xdeepr.io import check_output, open_file, write_file

    check_output(options.output, overwrite=options.overwrite)
    out = downscale(
        open_file(options.input),
        options.model,
        members=options.members,
        seed=options.seed,
        steps=options.steps,
        sampler=options.sampler,
        covariates=_optional(options.covariates),
        factor=options.factor,
        like=_optional(options.like),
        tile=options.tile,
        overlap=options.overlap,
        batch_size=options.batch_size,
        device=options.device,
    )
    bar = "downscaling" if _shows_progress(options) else None
    write_file(out, options.output, overwrite=options.overwrite, progress=bar)


def _fit(options: argparse.Namespace) -> None:
    from xdeepr.checkpoint import CARD
    from xdeepr.io import open_file
    from xdeepr.training import fit

    folder: Path = options.out
    # The same rule as save() has: better known now than after the training.
    if folder.exists() and not (options.overwrite and (folder / CARD).is_file()):
        raise OptionError(
            f"{folder} exists already: choose another --out, or --overwrite if it is a checkpoint."
        )
    model = fit(
        open_file(options.lr),
        open_file(options.hr),
        covariates=_optional(options.covariates),
        variables=options.variables,
        validation=options.validation,
        epochs=options.epochs,
        max_steps=options.max_steps,
        max_time=options.max_time,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        window=options.window,
        seed=options.seed,
        device=options.device,
        keep=options.keep,
        name=options.name or folder.name,
        progress=_shows_progress(options),
    )
    model.save(folder, overwrite=options.overwrite)
    if options.progress is not False:
        print(model)


def _verify(options: argparse.Namespace) -> None:
    from xdeepr.io import check_output, open_file, write_file
    from xdeepr.verification import score_table, verify

    if options.out is not None:
        check_output(options.out, overwrite=options.overwrite)
    scores = verify(
        open_file(options.forecast),
        open_file(options.reference),
        baseline=_baseline(options.baseline),
        predictor=_optional(options.predictor),
        progress=_shows_progress(options),
    )
    if options.out is not None:
        write_file(scores, options.out, overwrite=options.overwrite)
    print(score_table(scores))


def _baseline(text: str) -> Any:
    """Return what `verify` takes: the name of an interpolation, a field, or None."""
    if text == "none":
        return None
    return text if text in INTERPOLATIONS else _optional(Path(text))


def _optional(path: Path | None) -> xr.Dataset | None:
    from xdeepr.io import open_file

    return None if path is None else open_file(path)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one line; where in the code it arose says nothing to a user."""
    _say(f"warning: {message}")


def _say(text: str) -> None:
    print(f"xdeepr: {' '.join(text.split())}", file=sys.stderr)


# --- the arguments ------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xdeepr",
        description="Downscale climate fields with diffusion models.",
        allow_abbrev=False,  # an abbreviation in a script breaks when an option is added
    )
    parser.add_argument("--version", action="version", version=f"xdeepr {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for add in (_add_demo, _add_downscale, _add_fit, _add_verify):
        add(commands)
    return parser


class _ShowDefaults(argparse.HelpFormatter):
    """Say the defaults of options that have one (argparse's own formatter says None too)."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, True, argparse.SUPPRESS):
            return action.help
        return f"{action.help} (default: %(default)s)"


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        formatter_class=_ShowDefaults,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    return command


def _add_demo(commands: Any) -> None:
    command = _command(commands, "demo", _demo, "show what xdeepr does, offline, in some minutes")
    command.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        help="folder of results",
    )
    command.add_argument("--no-fit", dest="fit", action="store_false", help="train no model")
    command.add_argument("--seed", type=int, default=0, help="seed of weather and noise")
    command.add_argument(
        "--model",
        default="ddpm",
        help="checkpoint for the synthetic weather",
    )


def _add_downscale(commands: Any) -> None:
    command = _command(commands, "downscale", _downscale, "downscale a file")
    command.add_argument("input", metavar="IN", type=Path, help="LR file: netCDF, zarr or GRIB")
    command.add_argument("output", metavar="OUT", type=Path, help="HR file to write: .nc or .zarr")
    command.add_argument(
        "--model",
        required=True,
        help='checkpoint folder, a shipped model such as "ddpm", or an interpolation:'
        f" {', '.join(INTERPOLATIONS)}",
    )
    command.add_argument("--members", type=int, help="number of realizations")
    command.add_argument("--seed", type=int, default=0, help="seed of the noise")
    command.add_argument("--steps", type=int, help="steps of the solver")
    command.add_argument("--sampler", help='solver, for example "dpm++"')
    command.add_argument("--covariates", type=Path, help="file with static fields")
    command.add_argument("--factor", type=int, help="HR cells in an LR cell (interpolations)")
    command.add_argument("--like", type=Path, help="file on the HR grid (interpolations)")
    command.add_argument("--tile", type=int, help="edge of the network's windows in HR pixels")
    command.add_argument("--overlap", type=int, help="HR pixels that neighbouring tiles share")
    command.add_argument("--batch-size", type=int, help="tiles in one network call")
    command.add_argument("--device", help='torch device, for example "cuda:0"')
    _add_common(command)


def _add_fit(commands: Any) -> None:
    command = _command(commands, "fit", _fit, "train a model and save it to a folder")
    command.add_argument("lr", metavar="LR", type=Path, help="file of the predictors")
    command.add_argument("hr", metavar="HR", type=Path, help="file of the labels on the HR grid")
    command.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="checkpoint")
    command.add_argument("--covariates", type=Path, help="file with static fields")
    command.add_argument("--variables", nargs="+", metavar="NAME", help="labels to learn")
    command.add_argument(
        "--validation",
        type=float,
        default=0.15,
        help="held-out part, from the end of the period",
    )
    command.add_argument(
        "--max-time", type=_duration, help='greatest duration: seconds, or for example "15min"'
    )
    command.add_argument("--max-steps", type=int, help="greatest number of steps")
    command.add_argument("--epochs", type=int, help="greatest number of epochs")
    command.add_argument("--batch-size", type=int, default=32, help="windows in a batch")
    command.add_argument(
        "--learning-rate",
        type=float,
        default=2e-3,
        help="peak learning rate",
    )
    command.add_argument("--window", type=int, help="edge of training windows in HR pixels")
    command.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    command.add_argument("--device", help='torch device, for example "cuda:0"')
    command.add_argument("--keep", type=Path, help="folder for the state, to resume from")
    command.add_argument("--name", help="name of the model (that of the folder)")
    _add_common(command)


def _add_verify(commands: Any) -> None:
    command = _command(commands, "verify", _verify, "score a downscaled file beside a baseline")
    command.add_argument("forecast", metavar="FORECAST", type=Path, help="downscaled file")
    command.add_argument("reference", metavar="REFERENCE", type=Path, help="the truth")
    command.add_argument("--predictor", metavar="LR", type=Path, help="file that was downscaled")
    command.add_argument(
        "--baseline",
        default="bicubic",
        help=f"what to beat: {', '.join(INTERPOLATIONS)}, none, or a file",
    )
    command.add_argument("--out", type=Path, help="file for the scores: .nc or .zarr")
    _add_common(command)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--overwrite", action="store_true", help="replace what is there")
    talk = command.add_mutually_exclusive_group()
    talk.add_argument(
        "--progress",
        action="store_true",
        default=None,
        help="show a progress bar (the default in a terminal)",
    )
    talk.add_argument(
        "--quiet", dest="progress", action="store_false", help="show no progress and no summary"
    )


def _shows_progress(options: argparse.Namespace) -> bool:
    """Whether to draw a bar: as asked, otherwise if there is a terminal to draw it in."""
    return sys.stderr.isatty() if options.progress is None else options.progress


def _duration(text: str) -> float | str:
    """Return a bare number as seconds; text such as "15min" is left to `fit`."""
    try:
        return float(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
