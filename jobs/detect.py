"""Entry point for spark-submit, 'detect': --images PATH --reference PATH --out DIR [...]."""

import sys

from noisescope_core.cli import main

if __name__ == "__main__":
    main(["detect", *sys.argv[1:]])
