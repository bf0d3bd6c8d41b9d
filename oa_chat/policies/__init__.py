"""Policies as files: the three that ship, the user's own, their checks and their examples."""
