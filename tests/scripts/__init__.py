"""The commands in scripts/, and what they share."""
