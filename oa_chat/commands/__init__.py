"""One file for each command that works without the screen."""
