"""Run the program by ``python -m recolor_cli``."""

import sys

from recolor_cli.cli import main

sys.exit(main())
