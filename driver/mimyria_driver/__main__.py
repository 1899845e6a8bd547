"""`python -m mimyria_driver` is the command `mimyria-driver`."""

import sys

from mimyria_driver.cli import main

if __name__ == "__main__":
    sys.exit(main())
