"""The base of a sibling, from the command line's options to a loaded model."""

import argparse

import torch

from urial.pairs import Dtype, ModelSpec
from urial.sibling.cli import PACKAGED_BASE


def base_spec(options: argparse.Namespace) -> ModelSpec:
    """The base that the options name; the packaged Gemma 3 270M where they name none."""
    if options.base_folder:
        return ModelSpec(folder=options.base_folder)
    if options.base_hub:
        return ModelSpec(hub=options.base_hub, revision=options.revision)
    return ModelSpec(package=options.base_package or PACKAGED_BASE)


def base_name(spec: ModelSpec) -> str:
    """How an adapter's config and a run's fingerprint call the base: never a path of this machine."""
    if spec.folder:
        return spec.folder.rstrip("/").rsplit("/", 1)[-1]
    return spec.hub or spec.package or "unnamed"


def placement(options: argparse.Namespace) -> tuple[str, Dtype]:
    """Device and dtype for measuring: what was asked for, else the GPU in bfloat16, else the CPU in float32."""
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return device, options.dtype or ("float32" if device == "cpu" else "bfloat16")


def training_placement(options: argparse.Namespace) -> tuple[str, Dtype]:
    """As `placement`, but bfloat16 also on a CPU with instructions for it: several times as fast, and the adapter's own
    weights stay in float32."""
    device, dtype = placement(options)
    if options.dtype is None and device == "cpu" and torch.cpu._is_avx512_bf16_supported():
        dtype = "bfloat16"
    return device, dtype
