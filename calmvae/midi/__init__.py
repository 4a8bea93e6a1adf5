"""Music files and the `Piece`: reading and writing, picture and sound."""
