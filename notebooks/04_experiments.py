# Databricks notebook source
# MAGIC %md
# MAGIC # Experiments
# MAGIC
# MAGIC How well do methods find generated images, and when do they fail? An experiment is a file
# MAGIC of sets, trials, methods and attacks. This one makes its images itself and is as small as
# MAGIC it can be. The experiments of the paper and the attacks on it are in `conf/experiments/`,
# MAGIC what came out of them is in `docs/results.md`.
# MAGIC
# MAGIC The same file is for Databricks (serverless too), for Jupyter, and for
# MAGIC `python notebooks/04_experiments.py`. The next cell is for Databricks alone: put the wheel
# MAGIC of `make wheel` into a volume and name it there.

# COMMAND ----------

# MAGIC %pip install /Volumes/main/default/noisescope/noisescope-0.1.0-py3-none-any.whl

# COMMAND ----------

# MAGIC %restart_python

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parameters
# MAGIC On Databricks they are widgets, elsewhere environment variables such as `NOISESCOPE_FILE`.
# MAGIC
# MAGIC - `file`: an experiment of your own, or one of `conf/experiments/`; empty for that below.
# MAGIC - `data`: folder that holds those of its sets.
# MAGIC - `work`: takes the table of trials; on Databricks a folder of a volume. All is computed on
# MAGIC   the driver; `jobs/experiment.py` takes the executors.

# COMMAND ----------

from pathlib import Path
from tempfile import mkdtemp

from noisescope_core import api

asked = api.parameters(
    globals().get("dbutils"), file="", data="", work=None, draws=2, images=40, reference=80
)
work = Path(mkdtemp(prefix="experiment-", dir=asked["work"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The experiment
# MAGIC The default method and the paper's, whose counts are scaled down to so few images: on one
# MAGIC generator, on one whose layers leave so little that neither finds it among so few, and on
# MAGIC photographs alone. Then the generated images are saved again as JPEG. `docs/experiments.md`
# MAGIC lists all that a file may say.

# COMMAND ----------

small = work / "small.yaml"
small.write_text(f"""
title: Two methods at a small size
side: 96
draws: {asked["draws"]}
methods: [whitened, paper]
settings:
  - calibration.fingerprints=10
  - calibration.images=4
  - texture.images=8
  - texture.neighbours=10
  - clustering.classify_above=10
  - clustering.check_above=60
sets:
  transposed: {{simulate: generated, seed: 1}}
  bilinear: {{simulate: generated, seed: 1, upsampling: bilinear, fixed_noise: false}}
  photographs: {{simulate: photographs, seed: 1}}
trials:
  transposed convolution:
    generated: {{transposed: {asked["images"]}}}
    photographs: {{photographs: {asked["images"]}}}
    reference: {{photographs: {asked["reference"]}}}
  bilinear layers:
    generated: {{bilinear: {asked["images"]}}}
    photographs: {{photographs: {asked["images"]}}}
    reference: {{photographs: {asked["reference"]}}}
  photographs alone:
    photographs: {{photographs: {asked["images"]}}}
    reference: {{photographs: {asked["reference"]}}}
attacks:
  jpeg: [75]
""")
file = asked["file"] or small

# COMMAND ----------

# MAGIC %md
# MAGIC ## Run it
# MAGIC Each answer is a row of a table as soon as it is there. Run again, it goes on where it was;
# MAGIC a changed file runs only what changed.

# COMMAND ----------

means = api.experiment(file, asked["data"] or work, work / "out")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What came out
# MAGIC Means over the draws: F1, photographs flagged, fingerprints found. Where nothing is
# MAGIC generated, F1 is 0 whatever happens; look at `fp`.

# COMMAND ----------

columns = ["trial", "attack", "strength", "method", "f1", "recall", "fp", "fingerprints", "psnr"]
api.show(means[columns].round(3))

# COMMAND ----------

api.show(*api.plot_experiment(work / "out"))
