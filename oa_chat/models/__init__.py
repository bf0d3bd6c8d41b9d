"""The embedded models and their cards: package data, no code."""
