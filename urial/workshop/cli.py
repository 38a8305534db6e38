"""`urial workshop export FILE [--json | --csv]`: all classes of a file, without names."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from urial.errors import WorkshopError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    found = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    about = "all rooms, items, votes and predictions of a class's file, without names"
    exporting = found.add_parser("export", help=about, description=about)
    exporting.add_argument("file", metavar="FILE", help="the file of python app.py --workshop")
    form = exporting.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON document, urial.workshop/1 (default)")
    form.add_argument("--csv", action="store_true", help="a table, one line for each answer")


def run(options: argparse.Namespace) -> int:
    """Raises WorkshopError for a file that is no class's."""
    from urial.workshop.database import Database
    from urial.workshop.export import everything, to_csv

    if not Path(options.file).is_file():  # opening would make an empty one
        raise WorkshopError(f"There is no file {options.file}; name the file of python app.py --workshop.")
    database = Database(options.file)
    document = everything(database)
    database.close()
    if options.csv:
        sys.stdout.write(to_csv(document))
    else:
        print(json.dumps(document, ensure_ascii=False))
    return 0
