"""Make pictures small for the repository: python docs/pictures/shrink.py FILE.png ...

Each gets a palette of 64 colours, which a diagram does not exceed to the eye.
"""

from __future__ import annotations

import sys

from PIL import Image

if __name__ == "__main__":
    for path in sys.argv[1:]:
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
