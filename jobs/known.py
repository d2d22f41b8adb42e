"""Entry point for spark-submit, 'known': --images PATH --fingerprints RUN_OR_PACK --out DIR."""

import sys

from noisescope_core.cli import main

if __name__ == "__main__":
    main(["known", *sys.argv[1:]])
