"""Errors that a user can fix, each explained in one sentence.

The command line prints a `CalmvaeError` on one line and exits with code 2. Any other exception is a bug: it shows a
traceback and exits with code 1.
"""

from __future__ import annotations


class CalmvaeError(Exception):
    """Base of all errors that a user can fix; says what was found, what was expected and what to do."""


class InputError(CalmvaeError):
    """A file or folder given as input is missing, unreadable or of the wrong kind."""


class NoMusicError(InputError):
    """A file has a suffix of music files, but holds something else."""


class Damaged(Exception):
    """The bytes of a file cannot be read. It holds the reason; an `InputError` made from it also names the file."""


class EmptyMusicError(CalmvaeError):
    """A file holds nothing that a melody model can use: no notes, or only drums."""


class OptionError(CalmvaeError):
    """An option's value is unknown, of the wrong type or out of range."""


class OutputError(CalmvaeError):
    """The output folder cannot be written, or holds files that this command did not make."""


class ModelError(CalmvaeError):
    """A model or checkpoint is missing or damaged, or does not fit its config."""


class DataError(CalmvaeError):
    """A data set cannot be used for training or evaluation."""


class FetchError(CalmvaeError):
    """A file cannot be downloaded, or is not the published one."""


class MissingDependencyError(CalmvaeError):
    """A package that this command needs is not installed or does not import."""
