"""The demo's entry file: reads flags and environment, builds the page, loads the weights behind it, serves.

`python app.py [--pair NAME] [--host H] [--port P] [--models FILE] ...`; every flag is also `URIAL_...` in the
environment, a flag wins. Importing this module loads no weights. Exit codes as in `urial/cli.py`.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from urial.cli import EXIT_DONE, EXIT_FAILURE, EXIT_MISTAKE, OneLineParser, complain, whole_number
from urial.errors import SettingsError, UrialError, UserMistake

if TYPE_CHECKING:  # what is heavy is imported when the page is built
    import gradio as gr

    from urial.ui.page import AppState


def make_parser(environment: Mapping[str, str]) -> OneLineParser:
    """All flags; a default from the environment is checked like a flag."""
    parser = OneLineParser(
        prog="python app.py", description="The demo: one question, two siblings, every token's shift."
    )

    def add(flag: str, default: str | None, meaning: str, **kind: object) -> None:
        variable = "URIAL_" + flag.removeprefix("--").replace("-", "_").upper()
        parser.add_argument(flag, default=environment.get(variable) or default, help=f"{meaning} ({variable})", **kind)

    add("--pair", None, "the pair shown first (default: that of the pairs file)", metavar="NAME")
    add("--models", None, "the pairs file (default: models.yaml of this project)", metavar="FILE")
    add("--host", "127.0.0.1", "the address to listen on; 0.0.0.0 for every one", metavar="H")
    add("--port", "7860", "the port to listen on", metavar="P", type=whole_number(1))
    add("--root-path", "", "the path under which a proxy shows the page", metavar="PATH")
    add("--device", None, "cpu, cuda, cuda:0 ... (default: the GPU where there is one)", metavar="D")
    add("--dtype", None, "float32, bfloat16, float16, int8 or nf4", metavar="NAME")
    add("--parallel", "2", "comparisons that run at once", metavar="N", type=whole_number(1))
    add("--queue", "64", "visitors that may wait for a place", metavar="N", type=whole_number(1))
    return parser


def make_state(options: argparse.Namespace) -> AppState:
    """The page's state from flags: pairs are read and checked, no weights are loaded."""
    from urial.engines.opening import open_pair
    from urial.pairs import load_pairs
    from urial.ui.page import AppState
    from urial.ui.room import Room
    from urial.ui.serving import Service

    found = load_pairs(options.models)
    default = found.get(options.pair or found.default).name
    room = Room(
        found.pairs,
        lambda pair, progress: open_pair(pair, device=options.device, dtype=options.dtype, progress=progress),
    )
    service = Service(room, placement=f"{options.device}/{options.dtype}")
    return AppState(service, default, parallel=options.parallel, queue_size=options.queue)


def check_address(host: str, port: int) -> None:
    """Raise SettingsError where nothing can listen there, before anything is built."""
    try:
        with socket.create_server((host, port)):
            return
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"Cannot listen on {host}:{port} ({reason}); choose another --host or --port.") from error


def serve(state: AppState, options: argparse.Namespace) -> gr.Blocks:
    """Build and launch; the weights of the first pair load behind the page."""
    from urial.ui.page import build, launch_arguments

    threading.Thread(target=state.service.room.start, args=(state.default_pair,), daemon=True).start()
    blocks = build(state)
    blocks.launch(
        server_name=options.host,
        server_port=options.port,
        root_path=options.root_path or None,
        prevent_thread_lock=True,
        **launch_arguments(),
    )
    return blocks


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; returns the exit code."""
    try:
        options = make_parser(os.environ).parse_args(arguments)
        check_address(options.host, options.port)
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
        serve(make_state(options), options).block_thread()
    except UserMistake as mistake:
        return complain(mistake, EXIT_MISTAKE)
    except UrialError as failure:
        return complain(failure, EXIT_FAILURE)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
