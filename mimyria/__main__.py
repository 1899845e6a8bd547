"""`python -m mimyria`."""

import sys

from mimyria.cli import main

if __name__ == "__main__":
    sys.exit(main())
