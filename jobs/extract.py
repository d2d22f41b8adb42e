"""Entry point for spark-submit, 'extract': --images PATH --reference PATH --out DIR [...]."""

from noisescope_core.cli.shared.options import IMAGES, REFERENCE
from noisescope_core.cli.stage import stage_command
from noisescope_core.spark.stages.extract import extract

if __name__ == "__main__":
    stage_command(extract, IMAGES, REFERENCE)()
