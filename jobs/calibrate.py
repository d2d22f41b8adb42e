"""Entry point for spark-submit, stage 'calibrate': --out DIR [--config FILE] [--set KEY=VALUE]."""

from noisescope_core.cli.stage import stage_command
from noisescope_core.spark.stages.calibrate import calibrate

if __name__ == "__main__":
    stage_command(calibrate)()
