"""Reads the elements of MusicXML files: packed or plain, by parts or by measures, in any encoding."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from calmvae.common.errors import Damaged, NoMusicError
from calmvae.midi.music_files import MAX_BYTES

_CONTAINER = "META-INF/container.xml"


def load(data: bytes) -> tuple[Element, list[str]]:
    """The root of a score, with its measures in parts, and remarks on repairs.

    Raises:
      Damaged: no readable XML, or no readable archive.
      NoMusicError: XML, but no score.
    """
    if data[:2] == b"PK":
        data = _unpack(data)
    said = []
    try:
        root = _parse(data)
    except expat.ExpatError as error:
        if "not well-formed" not in str(error) or data.isascii():
            raise Damaged(_reason(error)) from error
        try:
            root = _parse(data, "iso-8859-1")
        except expat.ExpatError:
            raise Damaged(_reason(error)) from error
        said.append("Its text does not have the encoding that it declares; it is read as Latin-1.")
    if root.tag == "score-timewise":
        _by_parts(root)
    elif root.tag != "score-partwise":
        raise NoMusicError(f"it is no score: it begins with <{root.tag[:60]}>, not with <score-partwise>")
    return root, said


def _reason(error: expat.ExpatError) -> str:
    """The fault of the XML, in words."""
    errors = expat.errors
    if error.code in (errors.codes[errors.XML_ERROR_NO_ELEMENTS], errors.codes[errors.XML_ERROR_UNCLOSED_TOKEN]):
        return "it ends in the middle"
    return f"line {error.lineno}: {expat.ErrorString(error.code)}"


def _parse(data: bytes, encoding: str | None = None) -> Element:
    """Parses XML without namespaces. Entities declared in the file are refused: a few can expand to millions."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise Damaged("it declares entities of its own, which no score needs")

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(name.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda name: builder.end(name.rpartition(":")[2])
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data.lstrip(b" \t\r\n"), True)
    # An unknown encoding.
    except (LookupError, ValueError) as error:
        raise Damaged(" ".join(str(error).split())[:120]) from error
    return builder.close()


def _unpack(data: bytes) -> bytes:
    """The score in an archive: the file that its container names, else the first XML file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            wanted = None
            if _CONTAINER in names:
                found = re.search(rb"full-path\s*=\s*[\"']([^\"']+)", _read(archive, _CONTAINER))
                wanted = found[1].decode("utf-8", "replace") if found else None
            if wanted not in names:
                scores = (n for n in names if n.lower().endswith((".xml", ".musicxml")) and n != _CONTAINER)
                wanted = next((name for name in scores if not name.startswith("__MACOSX")), None)
            if wanted is None:
                raise Damaged("its archive holds no score")
            return _read(archive, wanted)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise Damaged("its archive is damaged or cut off") from error
    # A password, or an unknown compression.
    except (RuntimeError, NotImplementedError, OSError, ValueError) as error:
        raise Damaged(f"its archive cannot be opened: {error}") from error


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Damaged(f"it unpacks to more than {MAX_BYTES >> 20} MiB")
    return data


def _by_parts(root: Element) -> None:
    """Turns measures with parts into parts with measures."""
    parts: dict[str, Element] = {}
    for measure in root.findall("measure"):
        for piece in measure.findall("part"):
            name = piece.get("id", "")
            part = parts.setdefault(name, Element("part", {"id": name}))
            ElementTree.SubElement(part, "measure", measure.attrib).extend(list(piece))
        root.remove(measure)
    root.extend(parts.values())
