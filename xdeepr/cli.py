"""The command ``xdeepr``: the verbs for batch jobs, and the demo."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdeepr._version import __version__
from xdeepr.deepr_compat import add_command
from xdeepr.errors import OptionError, XdeeprError, printable
from xdeepr.tiling.interpolation import METHODS

if TYPE_CHECKING:
    import xarray as xr

_FIELDS = ("covariates", "like", "predictor", "forecast", "reference")
"""Arguments of the verbs for which the command takes a file."""

_LONGEST_LINE = 4000
"""Characters of a message; an attribute of a file, which it may quote, can be of any length."""

FAILED, INTERRUPTED = 1, 130
"""Exit codes; 130 is the shells' number for Ctrl-C, as 143 is for SIGTERM."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of the process, and return the exit code.

    It is 0, :data:`FAILED` for an error that xdeepr or the file system reports, 130 for Ctrl-C or
    143 for SIGTERM; argparse itself exits with 2 for wrong usage.
    """
    options = _parser().parse_args(argv)
    from xdeepr.io import terminated

    run: Callable[[argparse.Namespace], None] = options.run
    try:
        with warnings.catch_warnings(), terminated():
            warnings.showwarning = _show_warning
            run(options)
    except (XdeeprError, OSError) as error:
        _say("; ".join([f"error: {error}", *getattr(error, "__notes__", [])]))
        return FAILED
    except KeyboardInterrupt as stop:
        nothing = ["nothing half-written is left: run the same command again"]
        how_to_go_on = getattr(stop, "__notes__", nothing)
        _say(f"{str(stop) or 'interrupted'}: {'; '.join(how_to_go_on)}")
        code: int = getattr(stop, "exit_code", INTERRUPTED)
        if argv is None and run is _downscale:
            # Schedulers wait some seconds only, and blocks in work would take longer. What they
            # have not written will be done again.
            sys.stderr.flush()
            os._exit(code)
        return code
    return 0


# --- what each command does ---------------------------------------------------------------


def _demo(options: argparse.Namespace) -> None:
    from xdeepr.demo import run_demo

    run_demo(options.out, fit=options.fit, seed=options.seed, model=options.model)


def _downscale(options: argparse.Namespace) -> None:
    from xdeepr.downscaling import downscale
    from xdeepr.io import NETCDF, check_output, open_file

    if options.period is None:  # zarr stores and folders may be there: their writers look
        one_file = options.output.suffix in NETCDF
        check_output(options.output, overwrite=options.overwrite or not one_file)
    out = downscale(open_file(options.input), **_arguments(downscale, options))
    _write(out, options)


def _write(out: xr.Dataset, options: argparse.Namespace) -> None:
    """Write a downscaled field to what the name of the output asks for."""
    from xdeepr.io import NETCDF, content_digest, write_file, write_periods, write_zarr

    path, bar = options.output, "downscaling" if _shows_progress(options) else None
    if options.period is None and path.suffix in NETCDF:
        write_file(out, path, overwrite=options.overwrite, progress=bar)
        return
    files = {name: getattr(options, name) for name in ("input", "covariates", "like")}
    # by content: jobs copy their input to other folders, and copies have other dates
    identity = {name: content_digest(path) for name, path in files.items() if path is not None}
    for name in ("steps", "sampler", "tile", "overlap", "batch_size"):
        identity[f"--{name.replace('_', '-')}"] = getattr(options, name)
    how = {"resume": options.resume, "overwrite": options.overwrite, "identity": identity}
    if options.period is None:
        write_zarr(out, path, progress=bar, **how)
    else:
        write_periods(out, path, period=options.period, progress=bar, **how)


def _fit(options: argparse.Namespace) -> None:
    from xdeepr.io import open_file
    from xdeepr.models.checkpoint import CARD
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
        **_arguments(fit, options, name=options.name or folder.name),
    )
    model.save(folder, overwrite=options.overwrite)
    if options.progress is not False:
        print(printable(str(model)))


def _verify(options: argparse.Namespace) -> None:
    from xdeepr.io import check_output, write_file
    from xdeepr.verification import score_table, verify

    if options.out is not None:
        check_output(options.out, overwrite=options.overwrite)
    scores = verify(**_arguments(verify, options, baseline=_baseline(options.baseline)))
    if options.out is not None:
        write_file(scores, options.out, overwrite=options.overwrite)
    print(printable(score_table(scores)))


def _arguments(
    verb: Callable[..., Any], options: argparse.Namespace, **others: Any
) -> dict[str, Any]:
    """Return the options that are arguments of a verb, under their common name."""
    known = inspect.signature(verb).parameters
    given = {name: value for name, value in vars(options).items() if name in known}
    given |= {name: _optional(given[name]) for name in _FIELDS if name in given}
    if "progress" in given:
        given["progress"] = _shows_progress(options)
    return given | others


def _baseline(text: str) -> Any:
    """Return what `verify` takes: the name of an interpolation, a field, or None."""
    if text == "none":
        return None
    return text if text in METHODS else _optional(Path(text))


def _optional(path: Path | None) -> xr.Dataset | None:
    from xdeepr.io import open_file

    return None if path is None else open_file(path)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one line; where in the code it arose says nothing to a user."""
    _say(f"warning: {message}")


def _say(text: str) -> None:
    line = printable(" ".join(text.split()))
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE // 2]} … {line[-_LONGEST_LINE // 2 :]}"
    print(f"xdeepr: {line}", file=sys.stderr)


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
    _add_common(add_command(commands))
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
    command.add_argument("--out", type=Path, default=Path("demo-output"), help="folder of results")
    command.add_argument("--no-fit", dest="fit", action="store_false", help="train no model")
    command.add_argument("--seed", type=int, default=0, help="seed of weather and noise")
    command.add_argument("--model", default="ddpm", help="checkpoint for the synthetic weather")


def _add_downscale(commands: Any) -> None:
    command = _command(commands, "downscale", _downscale, "downscale a file")
    command.add_argument("input", metavar="IN", type=Path, help="LR file: netCDF, zarr or GRIB")
    text = "HR file to write: .nc or .zarr; with --period, a folder"
    command.add_argument("output", metavar="OUT", type=Path, help=text)
    text = f'checkpoint folder, shipped model such as "ddpm" or interpolation: {", ".join(METHODS)}'
    command.add_argument("--model", required=True, help=text)
    command.add_argument("--members", type=int, help="number of realizations")
    command.add_argument("--seed", type=int, default=0, help="seed of the noise")
    command.add_argument("--steps", type=int, help="steps of the solver")
    command.add_argument("--sampler", help='solver, for example "dpm++"')
    _add_inputs(command)
    command.add_argument("--factor", type=int, help="HR cells in an LR cell (interpolations)")
    command.add_argument("--like", type=Path, help="file on the HR grid (interpolations)")
    command.add_argument("--tile", type=int, help="edge of the network's windows in HR pixels")
    command.add_argument("--overlap", type=int, help="HR pixels that neighbouring tiles share")
    command.add_argument("--batch-size", type=int, help="tiles in one network call")
    text = "write a netCDF file for each period"
    command.add_argument("--period", choices=("day", "month", "year"), help=text)
    action = argparse.BooleanOptionalAction
    text = "go on where a run of the same command stopped (.zarr and --period; the default)"
    command.add_argument("--resume", action=action, default=True, help=text)
    _add_common(command)


def _add_fit(commands: Any) -> None:
    command = _command(commands, "fit", _fit, "train a model and save it to a folder")
    command.add_argument("lr", metavar="LR", type=Path, help="file of the predictors")
    command.add_argument("hr", metavar="HR", type=Path, help="file of the labels on the HR grid")
    command.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="checkpoint")
    text = 'kind of model, such as "regression" or "swin2sr"'
    command.add_argument("--model", default="ddpm", help=text)
    command.add_argument("--base", type=Path, help="checkpoint of a deterministic model below")
    command.add_argument("--autoencoder", type=Path, help='checkpoint, for --model "latent"')
    command.add_argument(
        "--normalization",
        choices=["domain-wise", "pixel-wise", "landmask-wise", "instance"],
        default="domain-wise",
        help="which cells share a mean and a deviation",
    )
    command.add_argument("--by-month", action="store_true", help="one for each month")
    _add_inputs(command)
    command.add_argument("--variables", nargs="+", metavar="NAME", help="labels to learn")
    text = "held-out part, from the end of the period"
    command.add_argument("--validation", type=float, default=0.15, help=text)
    text = 'greatest duration: seconds, or for example "15min"'
    command.add_argument("--max-time", type=_duration, help=text)
    command.add_argument("--max-steps", type=int, help="greatest number of steps")
    command.add_argument("--epochs", type=int, help="greatest number of epochs")
    command.add_argument("--batch-size", type=int, default=32, help="windows in a batch")
    command.add_argument("--learning-rate", type=float, default=2e-3, help="peak learning rate")
    command.add_argument("--window", type=int, help="edge of training windows in HR pixels")
    command.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    command.add_argument("--keep", type=Path, help="folder for the state, to resume from")
    command.add_argument("--name", help="name of the model (that of the folder)")
    _add_common(command)


def _add_verify(commands: Any) -> None:
    from xdeepr.verification import METRICS

    command = _command(commands, "verify", _verify, "score a downscaled file beside a baseline")
    command.add_argument("forecast", metavar="FORECAST", type=Path, help="downscaled file")
    command.add_argument("reference", metavar="REFERENCE", type=Path, help="the truth")
    command.add_argument("--predictor", metavar="LR", type=Path, help="file that was downscaled")
    text = f"the field to beat: {', '.join(METHODS)}, none, or a file"
    command.add_argument("--baseline", default="bicubic", help=text)
    names = ", ".join(f"{name} ({entry.long_name})" for name, entry in METRICS.items())
    text = f"scores other than the usual: {names}"
    command.add_argument("--metrics", nargs="+", metavar="NAME", help=text)
    command.add_argument("--out", type=Path, help="file for the scores: .nc or .zarr")
    _add_common(command)


def _add_inputs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--covariates", type=Path, help="file with static or varying fields")
    choices, text = ["error", "mask", "fill"], "what to do with missing values"
    command.add_argument("--missing", choices=choices, default="error", help=text)
    command.add_argument("--device", help='torch device, for example "cuda:0"')


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--overwrite", action="store_true", help="replace what is there")
    talk = command.add_mutually_exclusive_group()
    text = "show a progress bar (the default in a terminal)"
    talk.add_argument("--progress", action="store_true", default=None, help=text)
    text = "show no progress and no summary"
    talk.add_argument("--quiet", dest="progress", action="store_false", help=text)


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
