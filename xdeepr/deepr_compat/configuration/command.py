"""The command ``xdeepr run``. Importing this module loads nothing but argparse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> argparse.ArgumentParser:
    """Add ``run`` to what ``parser.add_subparsers()`` returned; it lacks the common options."""
    text = "train, downscale and score as a YAML file in the layout of DeepR says"
    command: argparse.ArgumentParser = commands.add_parser(
        "run", help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    command.set_defaults(run=run_command)
    command.add_argument("config", metavar="CONFIG", type=Path, help="YAML file")
    command.add_argument(
        "--check",
        action="store_true",
        help="read and check the file, name its keys without effect, and do nothing else",
    )
    return command


def run_command(options: argparse.Namespace) -> None:
    """Do what the command line asks for; notes come as warnings."""
    from xdeepr.deepr_compat.configuration.workflow import check, run

    talks = options.progress is not False
    if options.check:
        notes = check(options.config)
        if talks:
            print(f"{options.config}: all keys are known, {len(notes)} of them without effect")
        return
    shows = sys.stderr.isatty() if options.progress is None else options.progress
    outcome = run(options.config, overwrite=options.overwrite, progress=shows)
    if talks:
        print(outcome)
