"""`python -m urial ...`: see `cli/main.py`."""

import sys

from urial.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
