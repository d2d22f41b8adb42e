"""Entry point for spark-submit, 'known': --images PATH --fingerprints RUN --out DIR [...]."""

from noisescope_core.cli import stage_command
from noisescope_core.cli.command import IMAGES, KNOWN
from noisescope_core.spark.stages.known import find_known

if __name__ == "__main__":
    stage_command(find_known, IMAGES, KNOWN)()
