"""``python -m minpy`` is the command ``minpy``."""

import sys

from minpy.cli import main

if __name__ == "__main__":
    sys.exit(main())
