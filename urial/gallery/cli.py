"""`python -m urial gallery record`: arguments, a progress bar, and what is said at the end.

Heavy libraries are imported when the command runs, not before.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from urial.compare.events import AlignedToken, BaseToken, Event
from urial.progress import Bar

if TYPE_CHECKING:
    from urial.engines.pair import PairEngines
    from urial.gallery.files import Place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command below `gallery`."""
    commands = parser.add_subparsers(dest="gallery_command", required=True, metavar="COMMAND")
    record = commands.add_parser("record", help="record the comparisons that the gallery shows")
    record.add_argument("--list", metavar="FILE", type=Path, help="what to record (default: its queries.yaml)")
    record.add_argument("--only", metavar="ID", nargs="+", default=[], help="only these of the list")
    record.add_argument("--out", metavar="FOLDER", type=Path, help="where recordings go (default: the gallery's own)")
    record.add_argument("--again", action="store_true", help="also what is recorded with these models and settings")
    record.add_argument("--models", metavar="FILE", help="the pairs file (default: models.yaml of this project)")
    record.add_argument("--pair", metavar="NAME", help="a pair of the file (default: its default)")
    record.add_argument("--device", metavar="D", help="cpu, cuda, cuda:0 ... (default: the GPU where there is one)")
    record.add_argument("--dtype", metavar="NAME", help="float32, bfloat16, float16, int8 or nf4")


def run(options: argparse.Namespace) -> int:
    """Record; returns the exit code. Raises UrialError; what was written before a failure stays."""
    from urial.gallery.entries import FOLDER
    from urial.gallery.files import make_folder, places, unlisted
    from urial.gallery.listing import QUERIES, chosen, load_items

    items = load_items(options.list or QUERIES)
    wanted = chosen(items, options.only)
    folder = options.out or FOLDER
    make_folder(folder)
    done = record_all([place for place in places(folder, items) if place.item in wanted], options)
    print(f"{folder}: " + ", ".join(f"{count} {outcome}" for outcome, count in done.items()))
    for path in unlisted(folder, items):
        print(f"{path.name} is not in the list; delete it if the gallery should not show it.")
    return 0


def record_all(places: list[Place], options: argparse.Namespace) -> Counter[str]:
    """How many recordings had which outcome."""
    from urial.gallery.recording import make, make_anew

    engines = open_engines(options)
    step = make_anew if options.again else make
    done: Counter[str] = Counter()
    with Bar(" tokens", sum(most_tokens(place) for place in places), stays=True) as bar:

        def listen(event: Event) -> None:
            if isinstance(event, BaseToken | AlignedToken):
                bar.step()

        end = 0
        for place in places:
            bar.label(place.item.id)
            done[step(place, engines, listen)] += 1
            end += most_tokens(place)
            bar.move_to(end)  # an answer may end early
    return done


def most_tokens(place: Place) -> int:
    """Of both sides, in all turns, where no answer ends early."""
    return 2 * len(place.item.turns) * place.item.max_new_tokens


def open_engines(options: argparse.Namespace) -> PairEngines:
    """The chosen pair, loaded."""
    from urial.engines.open import open_pair
    from urial.pairs import load_pairs

    found = load_pairs(options.models)
    return open_pair(found.get(options.pair or found.default), device=options.device, dtype=options.dtype)
