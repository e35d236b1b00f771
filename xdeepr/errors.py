"""Every error xdeepr raises on purpose.

Each message names the variable (or option), the cause and the cure. All derive from
:class:`XdeeprError`, and each also from the built-in error a caller would expect.
"""


class XdeeprError(Exception):
    """Root of all errors that xdeepr raises on purpose."""


class OptionError(XdeeprError, ValueError):
    """An argument has a value that cannot be used (unknown name, wrong range)."""


class AxisError(XdeeprError, ValueError):
    """A coordinate axis is missing, ambiguous, unsorted, duplicated or empty."""


class VariableError(XdeeprError, KeyError):
    """The variable to work on is missing or ambiguous."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class UnitsError(XdeeprError, ValueError):
    """Units are missing, unknown or of the wrong physical dimension."""


class GridError(XdeeprError, ValueError):
    """Two grids do not nest, or a grid does not suit the model."""


class MissingValuesError(XdeeprError, ValueError):
    """A field holds NaN or infinity where a number is needed."""


class CheckpointError(XdeeprError, ValueError):
    """A checkpoint is absent, damaged, of an unknown version or does not match its card."""


class TrainingError(XdeeprError, RuntimeError):
    """Training cannot start or has diverged."""


class DataUnavailableError(XdeeprError, OSError):
    """Example data can neither be found locally nor downloaded."""


class OutputError(XdeeprError, OSError):
    """A result cannot be written or continued: full disk, another run's store, or a lock."""


def printable(text: str) -> str:
    """Return text without what a terminal would obey: names and units come from files.

    Parameters
    ----------
    text : str
        May have several lines.

    Returns
    -------
    str
        With "?" in place of control characters, escapes and halves of characters.
    """
    return "".join(c if c.isprintable() or c in "\n\xa0" else "?" for c in text)
