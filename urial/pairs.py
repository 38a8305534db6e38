"""`models.yaml` into typed pairs: a closed schema, so that a wrong key is an error with a name.

Knows nothing about how weights are fetched or run (see `weights.py`, `engines/`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["int8", "nf4"]


class Closed(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSpec(Closed):
    """A model behind an OpenAI-compatible server."""

    base_url: str
    model: str


class AdapterSpec(Closed):
    """A LoRA adapter in peft format: one of a folder or a hub id."""

    folder: str | None = None
    hub: str | None = None
    revision: str | None = None


class ModelSpec(Closed):
    """One model: exactly one of `package` (a packaged GGUF), `hub`, `folder`, `server`; an adapter may lie on top."""

    package: str | None = None
    hub: str | None = None
    revision: str | None = None
    folder: str | None = None
    server: ServerSpec | None = None
    adapter: AdapterSpec | None = None


class PaperNumbers(Closed):
    """The paper's percentages for this pair (section 2), where it has them."""

    unshifted: Annotated[float, Field(ge=0, le=100)]
    marginal: Annotated[float, Field(ge=0, le=100)]
    shifted: Annotated[float, Field(ge=0, le=100)]


class Pair(Closed):
    """A base model and its aligned sibling."""

    name: str
    title: str
    base: ModelSpec
    aligned: ModelSpec
    licence: str
    gated: bool = False
    note: str = ""
    dtype: Dtype | None = None
    quantization: Quantization | None = None
    memory_gb: dict[str, float] = {}
    paper: PaperNumbers | None = None
