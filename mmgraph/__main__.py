"""`python -m mmgraph`, and with it `torchrun -m mmgraph`, is the command `mmgraph`."""

import sys

from mmgraph.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
