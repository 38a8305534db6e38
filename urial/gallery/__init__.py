"""Recorded comparisons that open without any model.

`entries.py` says what a recording is and reads them; they lie in `recordings/`. What is recorded stands in
`queries.yaml`, which `listing.py` reads; `recording.py` runs it, `files.py` writes it, `cli.py` is the command.
"""

from urial.gallery.entries import FOLDER, SCHEMA, Entry, load_entries, load_entry

__all__ = ["FOLDER", "SCHEMA", "Entry", "load_entries", "load_entry"]
