"""The entry file of a Space, and of a checkout: `python app.py`. What it does is in `urial/ui/serve.py`."""

from __future__ import annotations

import os
import sys

if os.environ.get("SPACES_ZERO_GPU"):  # a ZeroGPU Space: its package wants to be imported before anything with CUDA
    import spaces  # noqa: F401

from urial.ui.serve import main

if __name__ == "__main__":
    sys.exit(main())
