"""Serves the page: reads flags and environment, builds it, loads the weights behind it.

`python app.py` and `urial serve` are this file: `[--pair NAME] [--host H] [--port P] [--models FILE] ...`; every flag
is also `URIAL_...` in the environment, a flag wins. Importing this module loads no weights.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial.cli.main import EXIT_DONE, OneLineParser, ended, whole_number
from urial.errors import SettingsError

log = logging.getLogger(__name__)

DESCRIPTION = "The demo: one question, two siblings, every token's shift."

if TYPE_CHECKING:  # what is heavy is imported when the page is built
    import gradio as gr

    from urial.ui.model_pool import ModelPool
    from urial.ui.page import AppState
    from urial.ui.service import Service
    from urial.workshop.routes import Class


def make_parser(environment: Mapping[str, str]) -> OneLineParser:
    """The parser of `python app.py`."""
    parser = OneLineParser(prog="python app.py", description=DESCRIPTION)
    add_arguments(parser, environment)
    return parser


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ) -> None:
    """All flags; a default from the environment is checked like a flag."""

    def add(flag: str, default: str | None, meaning: str, **kind: Any) -> None:
        variable = "URIAL_" + flag.removeprefix("--").replace("-", "_").upper()
        parser.add_argument(flag, default=environment.get(variable) or default, help=f"{meaning} ({variable})", **kind)

    add("--pair", None, "the pair shown first (default: that of the pairs file)", metavar="NAME")
    add("--models", None, "the pairs file (default: models.yaml of this project)", metavar="FILE")
    add("--host", "127.0.0.1", "the address to listen on; 0.0.0.0 for every one", metavar="H")
    add("--port", "7860", "the port to listen on", metavar="P", type=whole_number(1))
    add("--root-path", "", "the path under which a proxy shows the page", metavar="PATH")
    add("--device", None, "cpu, cuda, cuda:0 ... (default: the GPU where there is one)", metavar="D")
    add("--dtype", None, "float32, bfloat16, float16, int8 or nf4", metavar="NAME")
    add("--workshop", None, "with classes, kept in this SQLite file", metavar="FILE")
    add("--parallel", "2", "comparisons that run at once", metavar="N", type=whole_number(1))
    add("--corpus", None, "a folder of `urial corpus` for the Corpus tab (default: the recorded one)", metavar="DIR")
    add("--queue", "64", "visitors that may wait for a place", metavar="N", type=whole_number(1))


def make_state(options: argparse.Namespace) -> AppState:
    """The page's state from flags: pairs are read and checked, no weights are loaded."""
    from urial.engines.compile_ahead import start_compiling
    from urial.pairs import Machine, availability, load_pairs

    found = load_pairs(options.models)
    default = found.get(options.pair or found.default).name
    machine = Machine.probe()
    start_compiling(found.get(default), machine, options.device, options.dtype)  # a wrong --dtype ends here

    from urial.corpus.sources import open_source
    from urial.engines.open import open_pair
    from urial.judge.guard_now import Guard
    from urial.ui.model_pool import ModelPool
    from urial.ui.page import AppState

    here = {name: availability(pair, machine, options.dtype, options.device) for name, pair in found.pairs.items()}
    models = ModelPool(
        found.pairs,
        lambda pair, progress: open_pair(pair, device=options.device, dtype=options.dtype, progress=progress),
        absent={name: each.reason for name, each in here.items() if not each.can_run},
        downloads=[name for name, each in here.items() if each.needs_download],
    )
    for name, reason in models.absent.items():
        log.info("the pair %s does not run here: %s", name, reason)  # `urial pairs` says it too
    if options.pair and default in models.absent:
        raise SettingsError(models.absent[default])
    service = make_service(models, default, placement=f"{options.device}/{options.dtype}")
    service.guard = Guard(found.guard) if found.guard else None
    corpus = Path(options.corpus) if options.corpus else None
    if corpus:
        open_source(corpus)  # a wrong --corpus ends here
    return AppState(
        service,
        default,
        parallel=options.parallel,
        queue_size=options.queue,
        workshop=make_class(options.workshop) if options.workshop else None,
        corpus=corpus,
    )


def make_class(path: str) -> Class:
    """Classes on a file; a folder that cannot do SQLite's write-ahead log is told of. Raises WorkshopError."""
    from urial.workshop.routes import workshop_file

    found = workshop_file(path)
    if found.database.note:
        print(found.database.note, file=sys.stderr, flush=True)
    return found


def make_service(models: ModelPool, default_pair: str, placement: str) -> Service:
    """Models run here, or on the GPU that ZeroGPU lends for each call; there, weights are placed before the launch."""
    from urial.ui import zero_gpu
    from urial.ui.service import Service

    if not zero_gpu.is_zero_gpu():
        return Service(models, placement)
    zero_gpu.INHERITED[default_pair] = models.load(default_pair)
    return Service(models, placement, perform=zero_gpu.perform_on_lent_gpu(), new_control=zero_gpu.FileControl)


def check_address(host: str, port: int) -> None:
    """Raise SettingsError where nothing can listen there, before anything is built."""
    if port > 65535:
        raise SettingsError(f"The port {port} does not exist; choose one from 1 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"Cannot listen on {host}:{port} ({reason}); choose another --host or --port.") from error


def serve(state: AppState, options: argparse.Namespace) -> gr.Blocks:
    """Build and launch; the weights of the first pair load behind the page."""
    from urial.ui.page import build, launch_arguments

    blocks = build(state)
    blocks.launch(
        server_name=options.host,
        server_port=options.port,
        root_path=options.root_path or None,
        prevent_thread_lock=True,
        quiet=True,
        _frontend=False,  # no check of our own address: a busy machine may answer later than Gradio waits for it
        **launch_arguments(options.parallel + options.queue, state.workshop),
    )
    print(f"The page is at {blocks.local_url}", flush=True)
    state.service.models.start(state.default_pair)  # after the launch: loading would keep the server from answering
    return blocks


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted. Raises UserMistake or UrialError, which the caller says in one line."""
    check_address(options.host, options.port)
    serve(make_state(options), options).block_thread()
    return EXIT_DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """`python app.py`; returns the exit code (as in `urial/cli/main.py`)."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    return ended(lambda: run(make_parser(os.environ).parse_args(arguments)))
