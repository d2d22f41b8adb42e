# Databricks notebook source
# MAGIC %md
# MAGIC # Quick start
# MAGIC
# MAGIC A pile of photographs with generated images in it, made by a simulator: NoiseScope finds
# MAGIC the generated ones without an example of any. Half a minute on a laptop.
# MAGIC
# MAGIC The same file is for Databricks (serverless too), for Jupyter, and for
# MAGIC `python notebooks/01_quick_start.py`. The next cell is for Databricks alone: put the wheel
# MAGIC of `make wheel` into a volume and name it there.

# COMMAND ----------

# MAGIC %pip install /Volumes/main/default/noisescope/noisescope-0.1.0-py3-none-any.whl

# COMMAND ----------

# MAGIC %restart_python

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parameters
# MAGIC On Databricks they are widgets, and `work` must be a folder of a volume, such as
# MAGIC `/Volumes/main/default/noisescope`: executors do not see the driver's disk. Elsewhere they
# MAGIC are environment variables such as `NOISESCOPE_SIZE`. `settings` are keys of
# MAGIC `conf/default.yaml`, as in `discovery.members=8 spark.driver_memory=4g`.

# COMMAND ----------

from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from noisescope_core import api

asked = api.parameters(
    globals().get("dbutils"),
    work=None, size=128, photographs=90, generated=60, reference=120, settings={},
)  # fmt: skip
work = Path(mkdtemp(prefix="quick-start-", dir=asked["work"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## A pile of images
# MAGIC Photographs go through simulated cameras, generated images show the same kind of scenes
# MAGIC through the layers of two small networks. `reference` holds other photographs, known to be
# MAGIC real.

# COMMAND ----------

made = api.simulate(
    work / "dump", size=asked["size"], photographs=asked["photographs"],
    generated=asked["generated"], generators=2, reference=asked["reference"], broken=False,
    workers=1,
)  # fmt: skip
api.show(made)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Find the generated ones
# MAGIC The labels have no part in this. Spark is started, or the session that is there is joined.

# COMMAND ----------

run = api.detect(work / "dump/images", work / "dump/reference", work / "run", asked["settings"])
verdicts = run.table("verdicts").to_pandas()
api.show(
    verdicts.groupby(["status", "is_fake"], dropna=False).size().rename("images").reset_index()
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Was it right?

# COMMAND ----------

measures = api.evaluate(run, work / "dump/labels.csv")
api.show({name: round(measures[name], 3) for name in ("precision", "recall", "f1")})

# COMMAND ----------

# MAGIC %md
# MAGIC ## What it found
# MAGIC A fingerprint is what the images of one generator share: one row each.

# COMMAND ----------

fingerprints = run.table("fingerprints").to_pylist()
columns = ["fingerprint_id", "images", "flagged", "maker", "cohesion", "strength", "colour"]
api.show(pd.DataFrame(fingerprints)[columns].round(2))

# COMMAND ----------

api.show(*map(api.plot_fingerprint, fingerprints))

# COMMAND ----------

# MAGIC %md
# MAGIC Images are flagged that fit a fingerprint better than the reference photographs do.

# COMMAND ----------

api.show(*[api.plot_scores(run, fingerprint) for fingerprint in fingerprints])

# COMMAND ----------

# MAGIC %md
# MAGIC ## Why this image?
# MAGIC The flagged image that is least sure: where it agrees with the fingerprint, and what would
# MAGIC change its verdict.

# COMMAND ----------

flagged = verdicts[verdicts["is_fake"].eq(True)].sort_values("confidence")
told = api.explain(flagged["path"].iloc[0], run)
api.show(api.plot_explanation(told), pd.DataFrame(told.match.changes).round(1))

# COMMAND ----------

# MAGIC %md
# MAGIC The same for people who do not run notebooks is the report of the run:

# COMMAND ----------

api.show(f"{run.location}/report.html")
