"""Draws SVGs as PNGs in a process of its own; run by path, so that it starts without importing the rest.

Arguments: size in pixels, folder to write to. Standard input: one path per line. Standard output: one line per
picture, `name` or `name<TAB>reason` if it could not be drawn.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Draw every picture named on standard input."""
    import resvg_py

    # Ctrl-C reaches the whole process group; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    size, folder = int(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin.read().splitlines():
        path = Path(line)
        try:
            # OpenMoji has no text elements: system fonts would cost time and nothing else.
            png = bytes(resvg_py.svg_to_bytes(svg_path=line, width=size, height=size, skip_system_fonts=True))
            temporary = folder / f".{path.stem}.{os.getpid()}.tmp"
            temporary.write_bytes(png)
            os.replace(temporary, folder / f"{path.stem}.png")
            reason = ""
        except (ValueError, OSError) as error:
            reason = "\t" + " ".join(str(error).split())
        sys.stdout.write(f"{path.stem}{reason}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
