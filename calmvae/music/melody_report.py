"""Counts the changes to a piece's notes on the way to its melody."""

from __future__ import annotations

import dataclasses

from calmvae.common.text import are, count


@dataclasses.dataclass
class MelodyReport:
    """The changes to a piece's notes on the way to its melody; integers count notes unless the name says otherwise."""

    notes: int = 0
    in_melody: int = 0
    hidden: int = 0
    same_sixteenth: int = 0
    other_tracks: int = 0
    drums: int = 0
    shortened: int = 0
    octave_folded: int = 0
    off_grid: int = 0
    metres: list[str] = dataclasses.field(default_factory=list)
    rebarred: bool = False
    tempo_events: int = 1
    lead_steps: float = 0.0
    realigned: bool = False
    bars: int = 0

    def sentences(self) -> list[str]:
        """The changes in words for the user; empty if the melody is the piece."""
        said = []
        if n := self.hidden:
            said.append(f"{n} of {count(self.notes, 'note')} {are(n)} not part of the melody line")
        if n := self.same_sixteenth:
            share = "shares a sixteenth with another and is" if n == 1 else "share a sixteenth with another and are"
            said.append(f"{n} of {count(self.notes, 'note')} {share} left out")
        said += not_taken(self.other_tracks, self.drums)
        if self.rebarred:
            said.append(f"metre {', '.join(self.metres)} is re-barred onto 16 steps a bar")
        return said + moved(self.octave_folded, self.realigned, self.off_grid, count(self.in_melody, "melody note"))


def not_taken(other_tracks: int, drums: int) -> list[str]:
    """How many notes of other tracks and of drums are left out, in words."""
    said = [f"{count(other_tracks, 'note')} of other tracks {are(other_tracks)} left out"] if other_tracks else []
    return said + ([f"{count(drums, 'drum note')} {are(drums)} left out"] if drums else [])


def moved(octave_folded: int, realigned: bool, off_grid: int, kept: str) -> list[str]:
    """How notes were moved, in words.

    Args:
      octave_folded: how many by octaves. realigned: whether the grid follows the notes.
      off_grid: how many to the grid, of those `kept`, in words.
    """
    said = []
    if n := octave_folded:
        said.append(f"{count(n, 'note')} outside A0 to C8 {are(n)} moved by octaves")
    if realigned:
        said.append("the notes start off the file's beats, so the grid is aligned with the notes")
    if n := off_grid:
        said.append(f"{n} of {kept} {are(n)} moved to the sixteenth grid")
    return said
