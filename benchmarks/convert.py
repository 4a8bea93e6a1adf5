"""MIDI files to NoteSequences: `calmvae convert` against stock's `convert_dir_to_note_sequences`, and are they equal?

    benchmarks/stock_env.sh
    .venv/bin/python -m benchmarks.convert [--files 2000] [--pairs 3] [--folder /path/to/midi]

Without a folder the files are made from a seed, with different lengths, tracks, tempos, metres, controls, bends and
instruments; none of them has what note_seq misreads (`tests/test_midi_read.py` lists the kinds). Start-up is measured
on a folder of one file and taken off. calmvae uses a process a core and also extracts every melody, checks and
de-duplicates; stock runs in one process.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pairs

# Named by each side after its own fashion.
IGNORED = ("id", "filename", "collection_name")


def write_files(folder: Path, n: int, seed: int = 0) -> Path:
    """Writes `n` MIDI files that depend on the seed alone."""
    folder.mkdir(parents=True)
    for k in range(n):
        _piece(np.random.default_rng([seed, k])).save(folder / f"piece-{k:05d}.mid")
    return folder


def _piece(rng: np.random.Generator) -> Any:
    import mido

    midi = mido.MidiFile(type=1, ticks_per_beat=int(rng.choice([96, 220, 384, 480])))
    beats = int(rng.integers(8, 257))
    conductor = [(0, mido.MetaMessage("time_signature", numerator=int(rng.choice([2, 3, 4, 6])), denominator=4))]
    for beat in np.unique([0, *rng.integers(0, beats, rng.integers(0, 6))]):
        tempo = int(rng.integers(300_000, 1_200_000))
        conductor.append((int(beat) * midi.ticks_per_beat, mido.MetaMessage("set_tempo", tempo=tempo)))
    if rng.random() < 0.5:
        conductor.append((0, mido.MetaMessage("key_signature", key=str(rng.choice(["C", "G", "Dm", "Eb"])))))
    midi.tracks.append(_track(conductor))
    # Channel 9 is the drums'; the first is always pitched, so that every file counts.
    for channel in [0, *rng.choice(np.arange(1, 16), rng.integers(0, 6), replace=False)]:
        midi.tracks.append(_track(_voice(rng, int(channel), beats * midi.ticks_per_beat)))
    return midi


def _voice(rng: np.random.Generator, channel: int, length: int) -> list[tuple[int, Any]]:
    import mido

    events = [(0, mido.Message("program_change", channel=channel, program=int(rng.integers(0, 128))))]
    if rng.random() < 0.7:
        events.append((0, mido.MetaMessage("track_name", name=f"voice {channel}")))
    at, pitch = 0, int(rng.integers(40, 80))
    sounding = np.zeros(128, np.int64)
    while at < length:
        at += int(rng.choice([30, 60, 120, 240, 480]) * rng.choice([1, 1, 1, 0.97, 1.5]))
        pitch = int(np.clip(pitch + rng.integers(-5, 6), 24, 100))
        # No pitch is struck again while it sounds.
        while sounding[pitch] > at:
            pitch = pitch % 100 + 1
        end = sounding[pitch] = at + int(rng.integers(20, 700))
        note = {"channel": channel, "note": pitch}
        events.append((at, mido.Message("note_on", velocity=int(rng.integers(1, 128)), **note)))
        events.append((end, mido.Message("note_off", velocity=0, **note)))
        if rng.random() < 0.1:
            control = {"control": int(rng.choice([1, 7, 10, 91])), "value": int(rng.integers(0, 128))}
            events.append((at, mido.Message("control_change", channel=channel, **control)))
        if rng.random() < 0.03:
            events.append((at, mido.Message("pitchwheel", channel=channel, pitch=int(rng.integers(-8192, 8192)))))
    return events


def _track(events: list[tuple[int, Any]]) -> Any:
    import mido

    track, now = mido.MidiTrack(), 0
    for at, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=at - now))
        now = at
    return track


class Conversion:
    """Both commands on the same folder."""

    def __init__(self, source: Path, out: Path, stock: Path) -> None:
        self.source, self.stock = source, stock
        self.ours, self.theirs = out / f"{source.name}-ours", out / f"{source.name}.tfrecord"

    def calmvae(self) -> pairs.Run:
        """`calmvae convert` into a fresh folder."""
        shutil.rmtree(self.ours, ignore_errors=True)
        return pairs.run([*pairs.CALMVAE, "convert", self.source, "-o", self.ours, "--quiet"], ours=True)

    def magenta(self) -> pairs.Run:
        """Stock's command, its log left out."""
        flags = [f"--input_dir={self.source}", f"--output_file={self.theirs}", "--recursive", "--log=ERROR"]
        return pairs.run([self.stock.with_name("convert_dir_to_note_sequences"), *flags], ours=False)

    def differences(self) -> list[str]:
        """What is not equal, in sentences; the first says what was compared."""
        from calmvae.data import convert_folder
        from calmvae.midi import tfrecord

        ours = {
            (s.collection_name, s.filename): s for s in tfrecord.note_sequences(sorted(self.ours.glob("*.tfrecord")))
        }
        theirs = {self._key(sequence): sequence for sequence in tfrecord.note_sequences([self.theirs])}
        both = ours.keys() & theirs.keys()
        unequal = sorted(key for key in both if _plain(ours[key]) != _plain(theirs[key]))
        said = [f"{len(both)} NoteSequences compared in every field but {', '.join(IGNORED)}: {len(unequal)} differ."]
        for key in unequal[:5]:
            fields = [f.name for f, _ in ours[key].ListFields() if f.name not in IGNORED]
            differ = [name for name in fields if getattr(ours[key], name) != getattr(theirs[key], name)]
            said.append(f"{'/'.join(key)} differs in {', '.join(differ) or 'a field that only stock fills'}.")
        reasons = {Path(r["file"]).name: r["reason"] for r in convert_folder.read_manifest(self.ours) if "reason" in r}
        for key in sorted(theirs.keys() - both)[:5]:
            said.append(f"{'/'.join(key)} is in stock's only (calmvae: {reasons.get(key[1], 'not read')}).")
        more, less = len(ours.keys() - both), len(theirs.keys() - both)
        said.append(f"{more} are in calmvae's only, {less} in stock's only.")
        return said

    def _key(self, sequence: Any) -> tuple[str, str]:
        """Stock's file name is relative to the folder, calmvae's is the bare name beside its own folder's."""
        path = Path(sequence.collection_name or self.source.name) / sequence.filename
        return path.parent.name, path.name


def _plain(sequence: Any) -> Any:
    copy = type(sequence).FromString(sequence.SerializeToString())
    for field in IGNORED:
        copy.ClearField(field)
    return copy


def _one_of(source: Path, folder: Path) -> Path:
    """A folder with the first MIDI file of another that calmvae takes."""
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in (".mid", ".midi"))
    if not files:
        sys.exit(f"no MIDI file in {source}; name a folder that holds some with --folder.")
    folder.mkdir()
    shutil.copy(files[0], folder)
    return folder


def main() -> None:
    """Prints the table and what differs; ends with code 1 when a NoteSequence does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, pairs=3)
    parser.add_argument("--files", type=int, default=2000, help="how many files to make, default 2000")
    parser.add_argument("--folder", type=Path, help="MIDI files to convert instead")
    options = pairs.parse(parser)
    stock = pairs.stock_python(options.stock)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = options.folder.resolve() if options.folder else write_files(folder / "midi", options.files)
        whole = Conversion(source, folder, stock)
        single = Conversion(_one_of(source, folder / "one"), folder, stock)
        n = sum(p.suffix.lower() in (".mid", ".midi") for p in source.rglob("*"))
        starts = pairs.alternate(single.calmvae, single.magenta, max(options.pairs, 3))
        runs = pairs.alternate(whole.calmvae, whole.magenta, options.pairs, warm=0)
        said = whole.differences()
    ours, theirs = (statistics.median(pair[side].wall for pair in starts) for side in (0, 1))
    after = pairs.Pairs(
        f"{n} files, wall time after start-up", [a.wall - ours for a, _ in runs], [b.wall - theirs for _, b in runs]
    )
    rows = [*pairs.command_rows("start-up, 1 file", starts), *pairs.command_rows(f"{n} files", runs), after]
    pairs.report("Conversion", rows, {"stock": pairs.versions_of(stock)})
    speeds = [n / statistics.median(times) for times in (after.ours, after.theirs)]
    print(f"\nAfter start-up: calmvae {speeds[0]:.0f} files/s, stock {speeds[1]:.0f} files/s.", *said, sep="\n")
    if " 0 differ." not in said[0]:
        sys.exit(1)


if __name__ == "__main__":
    pairs.start(main)
