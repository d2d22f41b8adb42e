"""Entry point for spark-submit, 'scan': --images PATH --reference PATH --tables LOCATION [...]."""

import sys

from noisescope_core.cli import main

if __name__ == "__main__":
    main(["scan", *sys.argv[1:]])
