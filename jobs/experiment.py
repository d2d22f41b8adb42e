"""Entry point for spark-submit, 'experiment': FILE --data DIR --out DIR [...]."""

import sys

from noisescope_core.cli import main

if __name__ == "__main__":
    main(["experiment", "run", "--spark", *sys.argv[1:]])
