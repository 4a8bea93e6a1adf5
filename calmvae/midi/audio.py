"""A `Piece` as a WAV file by General MIDI synthesis; on one machine the same piece gives the same bytes."""

from __future__ import annotations

import importlib.util
import math
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calmvae.common.errors import MissingDependencyError, OutputError
from calmvae.midi.piece import Piece

SOUNDFONT = "TimGM6mb.sf2"
GAIN_DB = 3.0  # Above the SoundFont's own level: piano arrangements of pop songs then peak at -4 to -7 dBFS.
CEILING = 0.89  # Just under -1 dBFS, 0.8913.
MAX_VOICES = 512  # With the default of 256, dozens of long notes of several voices each cut each other off.
TAIL_SECONDS, FADE_SECONDS, BLOCK_FRAMES = 2.0, 0.5, 1 << 16


def write_wav(piece: Piece, path: str | Path, *, sample_rate: int = 44100) -> Path:
    """Plays the piece on pretty_midi's General MIDI SoundFont and writes a 16-bit stereo WAV.

    The file is 2 seconds longer than the piece, so that the last notes can fade. The gain is fixed: quiet pieces stay
    quiet. Only a piece that would exceed -1 dBFS is played a second time, scaled to that peak.

    Raises:
      OutputError: the piece is too long for a WAV file of 4 GiB.
      MissingDependencyError: tinysoundfont or the SoundFont is not installed.
    """
    path, frames = Path(path), math.ceil((piece.duration + TAIL_SECONDS) * sample_rate)
    if frames * 4 > 2**32 - 64:
        raise OutputError(f"{piece.duration / 3600:.1f} hours exceed the 4 GiB of a WAV file; give a shorter piece.")
    peak = _play(piece, path, sample_rate, frames, 1.0)
    if peak > CEILING:
        # Playing again takes seconds; keeping 40 minutes of floats to scale them would take 850 MB.
        _play(piece, path, sample_rate, frames, CEILING / peak)
    return path


def loudness(piece: Piece, seconds: float = 60.0, *, sample_rate: int = 11025) -> np.ndarray:
    """The root mean square of each stretch of so many seconds of a piece's sound, in dB of full scale, `[n]`.

    A rest of less than half a stretch at the end counts to the last one.

    Raises:
      MissingDependencyError: tinysoundfont or the SoundFont is not installed.
    """
    frames, begin = math.ceil(piece.duration * sample_rate), 0
    sums = counts = np.zeros(max(1, round(piece.duration / seconds)))
    for sound in _sound(piece, sample_rate, frames):
        at = np.minimum((begin + np.arange(len(sound))) // round(seconds * sample_rate), len(sums) - 1)
        sums = sums + np.bincount(at, np.square(sound).mean(axis=1), len(sums))
        counts = counts + np.bincount(at, minlength=len(sums))
        begin += len(sound)
    return 10 * np.log10(sums / np.maximum(counts, 1) + 1e-12)


def _play(piece: Piece, path: Path, rate: int, frames: int, scale: float) -> float:
    """Synthesizes block by block into `path`; returns the peak before clipping (1 is full scale)."""
    peak = 0.0
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setparams((2, 2, rate, frames, "NONE", "not compressed"))
        for sound in _sound(piece, rate, frames):
            sound *= np.float32(scale)
            peak = max(peak, float(np.abs(sound).max()))
            wav.writeframesraw((np.clip(sound, -1, 1) * 32767).round().astype("<i2").tobytes())
    return peak


def _sound(piece: Piece, rate: int, frames: int) -> Iterator[np.ndarray]:
    """The sound block by block, float32 `[frames, 2]`; 1 is full scale."""
    synth, notes, fade = _synth(rate), piece.notes, FADE_SECONDS * rate
    # One channel per program, 10 for drums; more than 15 programs share. A note keeps its program until it ends.
    programs = sorted({n.program for n in notes if not n.is_drum})
    channels = {p: [c for c in range(16) if c != 9][i % 15] for i, p in enumerate(programs)}
    starts = [round(n.start * rate) for n in notes]
    # At the same time ends (0) come before starts (1), else repeated notes would be cut off.
    events = [(frame, 1, i) for i, frame in enumerate(starts)]
    events += [(max(round(n.end * rate), starts[i] + 1), 0, i) for i, n in enumerate(notes)]
    events = [*sorted(events), (frames, 1, -1)]
    buffer, cursor = bytearray(BLOCK_FRAMES * 8), 0
    for block in range(0, frames, BLOCK_FRAMES):
        size, now = min(BLOCK_FRAMES, frames - block), 0
        while now < size:
            while events[cursor][0] <= block + now:
                _, begins, i = events[cursor]
                channel = 9 if notes[i].is_drum else channels[notes[i].program]
                if begins:
                    synth.program_change(channel, notes[i].program, notes[i].is_drum)
                    synth.noteon(channel, notes[i].pitch, min(max(notes[i].velocity, 1), 127))
                else:
                    synth.noteoff(channel, notes[i].pitch)
                cursor += 1
            until = min(events[cursor][0] - block, size)
            synth.generate_simple(until - now, memoryview(buffer)[now * 8 : until * 8])
            now = until
        sound = np.frombuffer(buffer, np.float32, size * 2).reshape(-1, 2).copy()
        if block + size > frames - fade:
            # Notes that still sound at the end fade out, because a sudden end would click.
            sound *= np.clip((frames - block - np.arange(size, dtype=np.float32)) / fade, 0, 1)[:, None]
        yield sound


def _synth(rate: int):
    try:
        import tinysoundfont
    except ImportError as error:
        raise MissingDependencyError("Audio needs tinysoundfont; run: pip install --no-deps tinysoundfont") from error
    synth = tinysoundfont.Synth(gain=GAIN_DB, samplerate=rate)
    synth.sfload(find_soundfont().read_bytes(), max_voices=MAX_VOICES)
    return synth


def find_soundfont() -> Path:
    """The General MIDI SoundFont that pretty_midi ships.

    Raises:
      MissingDependencyError: it is not there.
    """
    # find_spec finds the package without importing it.
    spec = importlib.util.find_spec("pretty_midi")
    file = Path(spec.origin).with_name(SOUNDFONT) if spec and spec.origin else Path(SOUNDFONT)
    if not file.is_file():
        raise MissingDependencyError(f"Audio needs the file {SOUNDFONT} of pretty_midi, not found; reinstall it.")
    return file
