"""Music files and the `Piece`: reading, writing, pictures and sound."""
