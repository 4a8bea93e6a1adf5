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
        if n := self.other_tracks:
            said.append(f"{count(n, 'note')} of other tracks {are(n)} left out")
        if n := self.drums:
            said.append(f"{count(n, 'drum note')} {are(n)} left out")
        if self.rebarred:
            said.append(f"metre {', '.join(self.metres)} is re-barred onto 16 steps a bar")
        if n := self.octave_folded:
            said.append(f"{count(n, 'note')} outside A0 to C8 {are(n)} moved by octaves")
        if self.realigned:
            said.append("the notes start off the file's beats, so the grid is aligned with the notes")
        if n := self.off_grid:
            said.append(f"{n} of {count(self.in_melody, 'melody note')} {are(n)} moved to the sixteenth grid")
        return said
