"""Entry point for spark-submit, 'known': --images PATH --fingerprints RUN --out DIR [...]."""

from noisescope_core.cli.shared.options import FINGERPRINTS, IMAGES
from noisescope_core.cli.stage import stage_command
from noisescope_core.spark.stages.known import find_known

if __name__ == "__main__":
    stage_command(find_known, IMAGES, FINGERPRINTS)()
