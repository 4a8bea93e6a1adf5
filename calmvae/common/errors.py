"""What a user can get wrong, each said in one sentence.

A `CalmvaeError` is the user's to mend: the command line prints it on one line and exits with code 2.
Anything else that escapes is a bug: a traceback and exit code 1.
"""

from __future__ import annotations


class CalmvaeError(Exception):
    """Base of all errors a user can mend: says what was found, what was expected and what to do."""


class InputError(CalmvaeError):
    """A file or folder given as input is missing, unreadable or of the wrong kind."""


class NoMusicError(InputError):
    """A file of a suffix that music has, too, holds something else."""


class Damaged(Exception):
    """The bytes of a file cannot be read; says why, for an `InputError` that also names the file."""


class EmptyMusicError(CalmvaeError):
    """A file was read, but holds nothing a melody model can use (no notes, or drums only)."""


class OptionError(CalmvaeError):
    """An option's value is unknown, of the wrong type or out of range."""


class OutputError(CalmvaeError):
    """The output folder holds something this command did not make, or cannot be written."""


class ModelError(CalmvaeError):
    """A model or checkpoint is missing, damaged or does not fit its config."""


class DataError(CalmvaeError):
    """A data set cannot be trained on or evaluated with."""


class FetchError(CalmvaeError):
    """A file could not be fetched, or is not what was published."""


class MissingDependencyError(CalmvaeError):
    """A package needed for this command is not installed or does not import."""
