"""A `Piece` as sound: General MIDI synthesis to WAV, the same bytes for the same piece on the same machine."""

from __future__ import annotations

import importlib.util
import math
import wave
from pathlib import Path

import numpy as np

from calmvae.common.errors import MissingDependencyError, OutputError
from calmvae.midi.piano_roll import BLOCK_FRAMES, FADE_SECONDS, TAIL_SECONDS
from calmvae.midi.piece import Piece

SOUNDFONT = "TimGM6mb.sf2"
GAIN_DB = 3.0  # On the SoundFont's own level: piano arrangements of pop songs then peak at -4 to -7 dBFS.
CEILING = 0.89  # Just under -1 dBFS, 0.8913.
MAX_VOICES = 512  # With the default of 256, dozens of long notes of several voices each would cut each other off.


def write_wav(piece: Piece, path: str | Path, *, sample_rate: int = 44100) -> Path:
    """Plays the piece on pretty_midi's General MIDI SoundFont and writes a 16-bit stereo WAV.

    The file lasts 2 seconds longer than the piece, for the last notes to die away. The gain is fixed, so quiet
    pieces stay quiet; only a piece that would exceed -1 dBFS is played a second time, scaled to peak there.

    Raises:
      OutputError: the piece is longer than the 4 GiB a WAV can hold.
      MissingDependencyError: tinysoundfont or the SoundFont is not installed.
    """
    path, frames = Path(path), math.ceil((piece.duration + TAIL_SECONDS) * sample_rate)
    if frames * 4 > 2**32 - 64:
        raise OutputError(f"{piece.duration / 3600:.1f} hours exceed the 4 GiB a WAV can hold; give a shorter piece.")
    peak = _play(piece, path, sample_rate, frames, 1.0)
    if peak > CEILING:
        # Playing again costs seconds; keeping 40 minutes of floats to scale them would cost 850 MB.
        _play(piece, path, sample_rate, frames, CEILING / peak)
    return path


def _play(piece: Piece, path: Path, rate: int, frames: int, scale: float) -> float:
    """Synthesizes block by block into `path`; returns the peak before clipping (1 is full scale)."""
    synth, notes, fade = _synth(rate), piece.notes, FADE_SECONDS * rate
    # A channel a program, 10 for drums. More than 15 programs take turns; a note keeps the program it began with.
    programs = sorted({n.program for n in notes if not n.is_drum})
    channels = {p: [c for c in range(16) if c != 9][i % 15] for i, p in enumerate(programs)}
    starts = [round(n.start * rate) for n in notes]
    # At equal times ends (0) come before starts (1), or repeated notes would be cut off.
    events = [(frame, 1, i) for i, frame in enumerate(starts)]
    events += [(max(round(n.end * rate), starts[i] + 1), 0, i) for i, n in enumerate(notes)]
    events = [*sorted(events), (frames, 1, -1)]
    buffer, peak, cursor = bytearray(BLOCK_FRAMES * 8), 0.0, 0
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setparams((2, 2, rate, frames, "NONE", "not compressed"))
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
            sound = np.frombuffer(buffer, np.float32, size * 2).reshape(-1, 2) * np.float32(scale)
            if block + size > frames - fade:
                # What still rings at the end fades; broken off it would click.
                sound *= np.clip((frames - block - np.arange(size, dtype=np.float32)) / fade, 0, 1)[:, None]
            peak = max(peak, float(np.abs(sound).max()))
            wav.writeframesraw((np.clip(sound, -1, 1) * 32767).round().astype("<i2").tobytes())
    return peak


def _synth(rate: int):
    try:
        import tinysoundfont
    except ImportError as error:
        raise MissingDependencyError("Audio needs tinysoundfont; pip install --no-deps tinysoundfont") from error
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
