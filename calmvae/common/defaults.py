"""The models that commands take if none is named."""

# Of all voices, and of the bare melody.
DEFAULT_MODEL, DEFAULT_MELODY_MODEL = "calm-piano_2bar", "calm-mel_2bar"
