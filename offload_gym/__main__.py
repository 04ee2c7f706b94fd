"""``python -m offload_gym``: the command line ``offload-gym``."""

import sys

from offload_gym.command_line import main

if __name__ == "__main__":
    sys.exit(main())
