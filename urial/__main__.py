"""`python -m urial ...`: see `cli.py`."""

import sys

from urial.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
