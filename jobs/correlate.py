"""Entry point for spark-submit, stage 'correlate': --out DIR [--config FILE] [--set KEY=VALUE]."""

from noisescope_core.cli.stage import stage_command
from noisescope_core.spark.stages.methods import correlate

if __name__ == "__main__":
    stage_command(correlate)()
