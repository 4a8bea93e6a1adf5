"""TensorFlow checkpoints read without TensorFlow, from a prefix, a folder and a .tar; archives that are refused."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import tar_files, tf_checkpoint, tf_checkpoint_reader
from calmvae.common import magenta_import
from calmvae.common.errors import ModelError
from calmvae.midi import tfrecord

WEIGHTS = {
    "encoder/mu/kernel": np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32),
    "encoder/mu/bias": np.zeros(8, np.float32),
    "decoder/empty/kernel": np.zeros((0, 5), np.float32),
}
SLOTS = {"encoder/mu/kernel/Adam": np.ones((40, 8), np.float32)}
SLOTS |= {"beta1_power": np.float32(0.9), "global_step": np.int64(7)}
OTHER_TYPES = {
    str(np.dtype(kind)): np.arange(-3, 9).astype(kind).reshape(3, 4)
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "?")
}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with slots, beside an older one."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tf_checkpoint.write(folder / "model.ckpt-3", {"encoder/mu/bias": np.ones(8, np.float32)})
    return Path(tf_checkpoint.write(folder / "model.ckpt-7", WEIGHTS | SLOTS | OTHER_TYPES))


def read_by_tensorflow(prefix: Path) -> dict[str, np.ndarray]:
    reader = magenta_import.load_tensorflow().train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[n], b[n]) and a[n].dtype == b[n].dtype and a[n].shape == b[n].shape for n in a
    )


def pack(target: Path, prefix: Path, mode: str = "w", inside: str = "released/") -> Path:
    with tarfile.open(target, mode) as archive:
        for file in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            archive.add(file, f"{inside}{file.name}")
    return target


def test_reads_what_tensorflow_reads(prefix):
    assert same(tf_checkpoint.read(prefix, slots=True), read_by_tensorflow(prefix))


def test_reads_several_shards(tmp_path):
    """Data in two files, as a Saver on several devices writes them."""
    tf = magenta_import.load_tensorflow()
    parts = [{"a": np.arange(5.0)}, {"b/c": np.eye(3, dtype=np.float32), "b/d": np.int64(4)}]
    prefixes = [tf_checkpoint.write(tmp_path / f"part{k}", part) for k, part in enumerate(parts)]
    with tf.Graph().as_default(), tf.Session() as session:
        merge = tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(tmp_path / "whole"))
        session.run(merge)
    assert len(list(tmp_path.glob("whole.data-*-of-00002"))) == 2
    assert same(tf_checkpoint.read(tmp_path / "whole", slots=True), read_by_tensorflow(tmp_path / "whole"))


def test_slots_are_left_out(prefix):
    assert tf_checkpoint.read(prefix).keys() == WEIGHTS.keys() | OTHER_TYPES.keys()


def test_many_variables(tmp_path):
    """An index of several blocks, with long names that share their beginnings."""
    rng = np.random.default_rng(1)
    many = {f"{'scope/' * (k % 7)}layer_{k:04d}/kernel": rng.normal(size=(k % 5, 3)) for k in range(3000)}
    written = tf_checkpoint.write(tmp_path / "many", many)
    assert same(tf_checkpoint.read(written, slots=True), many)


def test_compressed_index_goes_to_tensorflow(prefix, tmp_path):
    """Releases before 2018 may have one: the same index with its blocks in snappy, each as one literal."""
    copy = tmp_path / prefix.name
    for file in prefix.parent.glob(f"{prefix.name}.data*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    Path(f"{copy}.index").write_bytes(compressed(Path(f"{prefix}.index").read_bytes()))
    with pytest.raises(tf_checkpoint_reader.Unreadable, match="compressed"):
        tf_checkpoint_reader.Bundle(lambda suffix: np.fromfile(f"{copy}{suffix}", np.uint8))
    assert same(tf_checkpoint.read(copy, slots=True), read_by_tensorflow(prefix))


def compressed(index: bytes) -> bytes:
    """A table of one data block with that block compressed, which stands first; the index block follows it."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    footer, at, numbers = index[-48:], 0, []
    for _ in range(4):
        value, at = tf_checkpoint_reader._varint(footer, at)
        numbers.append(value)
    handle = next(iter(tf_checkpoint_reader._block(index, numbers[2], numbers[3])))[1]
    offset, after = tf_checkpoint_reader._varint(handle, 0)
    size = tf_checkpoint_reader._varint(handle, after)[0]
    assert offset == 0
    key = next(iter(tf_checkpoint_reader._block(index, numbers[2], numbers[3])))[0]

    def block(content: bytes, kind: int) -> bytes:
        tail = bytes([kind])
        return content + tail + tfrecord.checksum(content + tail)

    content = index[:size]
    literal = number(len(content)) + bytes([61 << 2]) + struct.pack("<H", len(content) - 1) + content
    data = block(literal, 1)
    entry = number(0) + number(len(key))
    where = number(0) + number(len(literal))
    table = block(entry + number(len(where)) + key + where + struct.pack("<LL", 0, 1), 0)
    meta = block(struct.pack("<LL", 0, 1), 0)
    ends = [len(data), len(meta) - 5, len(data) + len(meta), len(table) - 5]
    handles = b"".join(map(number, ends))
    return data + meta + table + handles + bytes(40 - len(handles)) + struct.pack("<Q", 0xDB4775248B80FB57)


@pytest.mark.parametrize("damage", ["cut index", "flipped index", "no index", "cut data", "flipped data", "no data"])
def test_damage_is_one_sentence(prefix, tmp_path, damage):
    what, part = damage.split()
    for file in prefix.parent.glob(f"{prefix.name}.*"):
        content = bytearray(file.read_bytes())
        if file.suffix.startswith(".data" if part == "data" else ".index"):
            if what == "no":
                continue
            if what == "flipped":
                content[len(content) // 3] ^= 1
            else:
                del content[len(content) // 2 :]
        (tmp_path / file.name).write_bytes(content)
    with pytest.raises(ModelError, match=r"^[^\n]*is not a readable TensorFlow checkpoint[^\n]*\.$"):
        tf_checkpoint.read(tmp_path / prefix.name, slots=True)


def test_finds_prefix_folder_and_newest(prefix):
    expected = tf_checkpoint.Checkpoint(prefix)
    for name in (prefix, f"{prefix}.index", prefix.parent):
        assert tf_checkpoint.find(name) == expected
    assert tf_checkpoint.find(prefix.parent / "nothing") is None


def test_a_checkpoint_without_its_data_is_passed_over(prefix, tmp_path):
    for file in prefix.parent.iterdir():
        if not file.name.startswith("model.ckpt-7.data"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert tf_checkpoint.find(tmp_path) == tf_checkpoint.Checkpoint(tmp_path / "model.ckpt-3")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_are_read_in_place(prefix, tmp_path, mode):
    archive = pack(tmp_path / f"release.tar{mode[1:].replace(':', '.')}", prefix, mode)
    before = sorted(tmp_path.iterdir())
    found = tf_checkpoint.find(archive)
    assert found == tf_checkpoint.Checkpoint(archive, "released/model.ckpt-7")
    assert same(found.read(slots=True), read_by_tensorflow(prefix))
    assert sorted(tmp_path.iterdir()) == before


def test_an_archive_without_its_ending(prefix, tmp_path):
    """Told by its content; what macOS adds is passed over."""
    archive = tmp_path / "download"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("._model.ckpt-9.index"))
        tar.addfile(tarfile.TarInfo("._model.ckpt-9.data-00000-of-00001"))
        for file in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            tar.add(file, file.name)
    assert tf_checkpoint.find(archive) == tf_checkpoint.Checkpoint(archive, "model.ckpt-7")


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


CRAFTED: dict[str, tuple[Callable[[], tarfile.TarInfo], str]] = {
    "absolute": (lambda: member("/etc/passwd"), "outside"),
    "parent": (lambda: member("a/../../up"), "outside"),
    "backslashes": (lambda: member("..\\up"), "outside"),
    "drive": (lambda: member("C:/windows"), "outside"),
    "symlink": (lambda: member("a", tarfile.SYMTYPE, linkname="/etc/passwd"), "link"),
    "hard link": (lambda: member("a", tarfile.LNKTYPE, linkname="model.ckpt-7.index"), "link"),
    "device": (lambda: member("a", tarfile.CHRTYPE, devmajor=1, devminor=5), "no file"),
    "block device": (lambda: member("a", tarfile.BLKTYPE), "no file"),
    "fifo": (lambda: member("a", tarfile.FIFOTYPE), "no file"),
    "too large": (lambda: member("a", size=20 << 30), "8 GB"),
}


@pytest.mark.parametrize("crafted", CRAFTED)
@pytest.mark.parametrize("packed", [False, True])
def test_crafted_archives_are_refused(prefix, tmp_path, monkeypatch, crafted, packed):
    """One sentence, and nothing is written, here or among the temporary files."""
    make, expected = CRAFTED[crafted]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            archive.add(file, file.name)
        archive.addfile(make())
    refused(content.getvalue(), packed, tmp_path, monkeypatch, expected)


@pytest.mark.parametrize("form", ["old", "pax"])
def test_sparse_members_are_refused(tmp_path, monkeypatch, form):
    """A member of 20 GB that takes half a kilobyte."""
    refused(sparse(form), False, tmp_path, monkeypatch, "sparse")


def sparse(form: str) -> bytes:
    if form == "old":
        info = member("a", tarfile.GNUTYPE_SPARSE, size=512)
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        # One piece of 512 bytes at the start of a file of 20 GB.
        header[386:410] = b"%011o\0%011o\0" % (0, 512)
        # Too large for octal digits.
        header[483:495] = b"\x80" + (20 << 30).to_bytes(11, "big")
        header[148:156] = b"        "
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + bytes(512) + bytes(1024)
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "a"}
    headers |= {"GNU.sparse.size": str(20 << 30), "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,512"}
    info = member("a", size=512, pax_headers=headers)
    return info.tobuf(tarfile.PAX_FORMAT) + bytes(512) + bytes(1024)


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_of_gigabytes_is_refused(tmp_path, monkeypatch, packed):
    """The name that follows is said to be long: nothing near it is read into memory."""
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=6 << 30).tobuf(tarfile.GNU_FORMAT)
    refused(header + bytes(4096), packed, tmp_path, monkeypatch, "header of")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    one = member("a").tobuf(tarfile.GNU_FORMAT)
    refused(one * 10_001 + bytes(1024), True, tmp_path, monkeypatch, "10000 files")


@pytest.mark.parametrize("packed", [False, True])
def test_cut_archives_are_refused(prefix, tmp_path, monkeypatch, packed):
    whole = pack(tmp_path / "whole.tar", prefix).read_bytes()
    (tmp_path / "whole.tar").unlink()
    if packed:
        (tmp_path / "x.tar.gz").write_bytes(gzip.compress(whole)[:-400])
        with pytest.raises(ModelError, match="fetch it again"):
            tf_checkpoint.find(tmp_path / "x.tar.gz")
    else:
        refused(whole[:1500], False, tmp_path, monkeypatch, "cut off|readable")


def test_an_archive_of_something_else(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(__file__, "music.mid")
    with pytest.raises(ModelError, match=r"holds no TensorFlow checkpoint"):
        tf_checkpoint.find(tmp_path / "x.tar")


def test_not_an_archive(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"no" * 900)
    with pytest.raises(ModelError, match=r"not a readable \.tar"):
        tf_checkpoint.find(tmp_path / "x.tar")


def refused(content: bytes, packed: bool, folder: Path, monkeypatch, expected: str) -> None:
    temporary = folder / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    archive = folder / ("x.tar.gz" if packed else "x.tar")
    archive.write_bytes(gzip.compress(content) if packed else content)
    before = everything(folder)
    with pytest.raises(ModelError, match=rf"^[^\n]*({expected})[^\n]*$"):
        tf_checkpoint.find(archive)
    with pytest.raises(ModelError), tar_files.opened(archive):
        pass
    assert everything(folder) == before


def everything(folder: Path) -> list[str]:
    return sorted(os.path.join(at, name) for at, folders, files in os.walk(folder) for name in folders + files)
