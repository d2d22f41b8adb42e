"""Entry point for spark-submit, stage 'sample': --out DIR [--config FILE] [--set KEY=VALUE]."""

from noisescope_core.cli.stage import stage_command
from noisescope_core.spark.stages.whitened.sample import sample

if __name__ == "__main__":
    stage_command(sample)()
