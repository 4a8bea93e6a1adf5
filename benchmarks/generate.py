"""Cold start: `calmvae interpolate` against stock Magenta's `music_vae_generate`, from the shell's view.

    benchmarks/stock_env.sh
    .venv/bin/python -m benchmarks.generate [--pairs 7] [--stock .stock/venv]

Both interpolate between the same two melodies of 2 bars in 8 steps with the same weights: a `cat-mel_2bar_small` that
stock trained for 20 steps, for calmvae exported to a model folder. Each run is a new process; files are in the
system's cache, bytecode is compiled. Stock writes MIDI only; calmvae once MIDI only, once also a picture and sound.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks import pairs, small_model

PEAK_BAR_MB = 250


def write_melodies(folder: Path) -> tuple[Path, Path]:
    """Two MIDI files with one melody of exactly 2 bars each, as stock asks for."""
    import pretty_midi

    tunes = ((60, 62, 64, 65, 67, 65, 64, 62), (72, 71, 69, 67, 65, 64, 62, 60))
    paths = folder / "a.mid", folder / "b.mid"
    for path, tune in zip(paths, tunes, strict=True):
        midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
        midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
        piano = pretty_midi.Instrument(0)
        piano.notes = [pretty_midi.Note(80, pitch, k / 2, k / 2 + 0.5) for k, pitch in enumerate(tune)]
        midi.instruments.append(piano)
        midi.write(str(path))
    return paths


class Interpolation:
    """The same work for both sides, each run into a fresh folder."""

    def __init__(self, folder: Path, stock: Path) -> None:
        self.folder, self.stock = folder, stock
        self.prefix, self.model = small_model.make(stock)
        self.a, self.b = write_melodies(folder)

    def calmvae(self, *options: str) -> pairs.Run:
        """A cold `calmvae interpolate`, with as many windows as stock decodes."""
        out = self._fresh("calmvae")
        command = (*pairs.CALMVAE, "interpolate", self.a, self.b, "--steps", "8", "--bars", "2")
        done = pairs.run((*command, "--model", self.model, "-o", out, *options), ours=True)
        self._check(out / "steps")
        return done

    def magenta(self) -> pairs.Run:
        """A cold `music_vae_generate --mode=interpolate`."""
        out = self._fresh("stock")
        flags = {
            "config": small_model.NAME,
            "mode": "interpolate",
            "num_outputs": 8,
            "checkpoint_file": self.prefix,
            "output_dir": out,
            "input_midi_1": self.a,
            "input_midi_2": self.b,
        }
        command = self.stock.with_name("music_vae_generate")
        done = pairs.run((command, *(f"--{name}={value}" for name, value in flags.items())), ours=False)
        self._check(out)
        return done

    def _fresh(self, name: str) -> Path:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.folder / name

    @staticmethod
    def _check(out: Path) -> None:
        found = len(list(out.glob("*.mid")))
        if found != 8:
            raise SystemExit(f"{out} holds {found} MIDI files, expected 8; nothing was measured.")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, pairs=7)
    options = pairs.parse(parser)
    stock = pairs.stock_python(options.stock)
    with tempfile.TemporaryDirectory() as folder:
        both = Interpolation(Path(folder), stock)

        def stock_help() -> pairs.Run:
            # absl ends with code 1 after its help.
            return pairs.run([stock.with_name("music_vae_generate"), "--help"], ours=False, codes=(0, 1))

        def our_help() -> pairs.Run:
            return pairs.run([*pairs.CALMVAE, "--help"], ours=True)

        helps = pairs.alternate(our_help, stock_help, options.pairs)
        plain = pairs.alternate(lambda: both.calmvae("--no-picture", "--no-sound"), both.magenta, options.pairs)
        full = pairs.alternate(both.calmvae, both.magenta, options.pairs)
    rows = [
        *pairs.command_rows("`--help`", helps),
        *pairs.command_rows("interpolate, MIDI", plain),
        *pairs.command_rows("interpolate, MIDI + picture + sound against MIDI", full),
    ]
    pairs.report("Cold start", rows, {"stock": pairs.versions_of(stock)})
    for name, runs in (("MIDI", plain), ("MIDI + picture + sound", full)):
        peak = statistics.median(ours.peak for ours, _ in runs)
        verdict = "below" if peak < PEAK_BAR_MB else "NOT below"
        print(f"\nPeak memory of a cold interpolate ({name}): {peak:.0f} MB, {verdict} the bar of {PEAK_BAR_MB} MB.")


if __name__ == "__main__":
    pairs.start(main)
