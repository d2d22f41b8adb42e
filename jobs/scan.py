"""Entry point for spark-submit, 'scan': --images PATH --fingerprints RUN --out DIR [...]."""

from noisescope_core.cli import IMAGES, KNOWN, stage_command
from noisescope_core.spark.scan import scan

if __name__ == "__main__":
    stage_command(scan, IMAGES, KNOWN)()
