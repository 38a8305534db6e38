"""Recorded comparisons that open without any model. Start with `entries.py`; the recordings lie in this folder."""

from urial.gallery.entries import FOLDER, SCHEMA, Entry, load_entries, load_entry

__all__ = ["FOLDER", "SCHEMA", "Entry", "load_entries", "load_entry"]
