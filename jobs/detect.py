"""Entry point for spark-submit, 'detect': --images PATH --reference PATH --out DIR [...]."""

from noisescope_core.cli import stage_command
from noisescope_core.spark.detect import detect

if __name__ == "__main__":
    stage_command(detect, reads_images=True)()
