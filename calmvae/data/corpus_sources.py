"""The collections of a training corpus: their files, terms and tune families.

A source is a folder in the layout of its repository, or a part of music21's bundled corpus, which is found without
importing music21. Any other folder is the user's own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from calmvae.common.errors import InputError, MissingDependencyError, OptionError
from calmvae.midi.music_files import SUFFIXES


@dataclasses.dataclass(frozen=True)
class Source:
    """A collection.

    Attributes:
      name: short, as in manifests.
      title: as in the data card.
      terms: under which the files may be used.
      publishable: whether the terms allow a model trained on the files to be published freely.
      address: where it comes from.
      glob: which files of the collection's folder belong to it.
      family: a file to the name of its tune, shared by all variants of it; None where every file is its own.
      marks: a file or folder that tells the collection's folder from others.
      bundled: the folder inside music21's corpus, for a part of that.
    """

    name: str
    title: str
    terms: str
    publishable: bool
    address: str
    glob: str
    family: Callable[[Path], str] | None = None
    marks: str = ""
    bundled: str = ""


def _plain(name: str) -> str:
    """A title without accents, case, numbers and signs."""
    letters = unicodedata.normalize("NFKD", name)
    return re.sub(r"[^a-z]+", " ", letters.encode("ascii", "ignore").decode().lower()).strip()


def _lied(file: Path) -> str:
    composer, song = file.parts[-4], file.parts[-2]
    return f"{_plain(composer)}: {_plain(song) or song}"


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="pop909",
            title="POP909: pop songs as piano arrangements (Wang et al., ISMIR 2020, arXiv 2008.07142)",
            terms="MIT",
            publishable=True,
            address="https://github.com/music-x-lab/POP909-Dataset",
            glob="POP909/[0-9][0-9][0-9]/**/*.mid",
            family=lambda file: next(part for part in reversed(file.parts[:-1]) if part.isdigit()),
            marks="POP909/001",
        ),
        Source(
            name="lieder",
            title="OpenScore Lieder: nineteenth-century songs for voice and piano",
            terms="CC0",
            publishable=True,
            address="https://github.com/OpenScore/Lieder",
            glob="scores/*/*/*/*.mxl",
            family=_lied,
            marks="scores",
        ),
        Source(
            name="bach",
            title="Chorales harmonised by J. S. Bach, from music21's corpus",
            terms="public-domain music; encodings distributed with music21 by permission, no restriction stated",
            publishable=True,
            address="https://github.com/cuthbertLab/music21",
            glob="*.mxl",
            bundled="bach",
        ),
        Source(
            name="essen",
            title="Essen folk songs, from music21's corpus",
            terms="unclear; permission for non-commercial distribution and use",
            publishable=False,
            address="https://www.esac-data.org",
            glob="*.abc",
            bundled="essenFolksong",
        ),
    )
}
_PARTS = ", ".join(f"music21:{s.name}" for s in SOURCES.values() if s.bundled)
OWN = Source("own", "A folder of music", terms="yours to judge", publishable=False, address="", glob="")


def resolve(given: str) -> tuple[Source, Path]:
    """The source and folder that a word of the command line means: a name like `music21:bach`, or a folder.

    Raises:
      InputError: no such folder. OptionError: no such part of music21's corpus.
      MissingDependencyError: music21 is not installed.
    """
    collection, found, part = given.partition(":")
    if found and collection == "music21":
        return _bundled(part)
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise InputError(f"{given} is not a folder; give folders of music, or one of {_PARTS}.")
    for source in SOURCES.values():
        if source.marks and (folder / source.marks).is_dir() and next(folder.glob(source.glob), None):
            return source, folder
    return dataclasses.replace(OWN, name=folder.resolve().name or OWN.name), folder


def _bundled(part: str) -> tuple[Source, Path]:
    source = SOURCES.get(part)
    if source is None or not source.bundled:
        raise OptionError(f"music21:{part} is not a collection that calmvae knows; choose one of {_PARTS}.")
    spec = importlib.util.find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(f"music21:{part} needs music21's corpus; run `pip install music21`.")
    return source, Path(spec.submodule_search_locations[0]) / "corpus" / source.bundled


def files_of(source: Source, folder: Path) -> list[Path]:
    """The source's music files, in a fixed order.

    Raises:
      InputError: there is none.
    """
    if not source.glob:
        from calmvae.data import convert_folder

        return convert_folder.find_files([folder])[0]
    found = sorted(file for file in folder.glob(source.glob) if file.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds none of the files of {source.title}; give the folder of its repository.")
    return found


def family_of(source: Source, file: Path) -> str | None:
    """The tune's name, with the source's, or None where a file is a tune of its own."""
    return f"{source.name}/{source.family(file)}" if source.family else None
