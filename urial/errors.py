"""Every error that a user may meet; each message says what happened and what to change.

The tree, for choosing an `except`:

    UrialError
    ├── UserMistake        the user can mend it: exit code 2, shown as it is
    │   ├── PairsError     models.yaml: unknown key, wrong type, unknown pair, impossible combination
    │   ├── PromptError    a query, a history or a prompt file that cannot be used
    │   ├── RecordError    a saved comparison that is broken or of another schema
    │   ├── GalleryError   a list of recordings that is wrong, or a folder that cannot take them
    │   ├── WorkshopError  a class that cannot be kept, joined or answered
    │   ├── SettingsError  a decoding setting out of range, or one that does not fit this machine
    │   ├── MismatchError  two models whose token ids do not mean the same
    │   └── WeightsMissing weights, a package or an adapter that is not where it should be
    └── Failure            not the user's doing: exit code 1
        ├── WeightsError   weights that are damaged, or a cache that cannot be written
        └── EngineError    a model or a server that failed while running

Knows nothing about who shows the message.
"""


class UrialError(Exception):
    """Base of all; `str(error)` is one sentence for the user."""


class UserMistake(UrialError):
    """Something the user can change."""


class PairsError(UserMistake):
    """`models.yaml` is wrong, or a pair is asked for that it does not hold."""


class PromptError(UserMistake):
    """A query, history or prompt file that cannot be made into a prompt."""


class RecordError(UserMistake):
    """A saved comparison that cannot be read."""


class GalleryError(UserMistake):
    """A list of recordings that cannot be used, or a folder that cannot take them."""


class WorkshopError(UserMistake):
    """A class that cannot be kept, joined or answered."""


class SettingsError(UserMistake):
    """A setting out of its range."""


class MismatchError(UserMistake):
    """Base and aligned model do not share their token ids."""


class WeightsMissing(UserMistake):
    """Weights that are not where the pair says."""


class Failure(UrialError):
    """A failure that the user did not cause."""


class WeightsError(Failure):
    """Weights that are damaged or cannot be converted."""


class EngineError(Failure):
    """A model or a server that failed while running."""
