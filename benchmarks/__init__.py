"""The commands, a file each, and below them the packages that they share."""
