"""What a person touches: the command line and the display in notebooks."""
