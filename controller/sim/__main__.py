"""`python -m controller.sim`."""

import sys

from controller.sim.cli import run

sys.exit(run())
