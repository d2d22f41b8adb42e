# Databricks notebook source
# MAGIC %md
# MAGIC # Your own folder
# MAGIC
# MAGIC Which images of a folder are generated, by how many generators, and how sure that is. You
# MAGIC need the folder, and photographs that you know to be real, from the same kind of source: 60
# MAGIC of each size at least, a few hundred are good.
# MAGIC
# MAGIC The same file is for Databricks (serverless too), for Jupyter, and for
# MAGIC `python notebooks/02_your_own_folder.py`. The next cell is for Databricks alone: put the
# MAGIC wheel of `make wheel` into a volume and name it there.

# COMMAND ----------

# MAGIC %pip install /Volumes/main/default/noisescope/noisescope-0.1.0-py3-none-any.whl

# COMMAND ----------

# MAGIC %restart_python

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parameters
# MAGIC On Databricks they are widgets, elsewhere environment variables such as
# MAGIC `NOISESCOPE_IMAGES`.
# MAGIC
# MAGIC - `images`, `reference`: folders or URIs, searched with all their subfolders. Left empty,
# MAGIC   both are made by the simulator, so that you can try the notebook before you name yours.
# MAGIC - `labels`: a CSV file with the columns `path` and `label`, if you have any.
# MAGIC - `work`: takes the results; on Databricks a folder of a volume such as
# MAGIC   `/Volumes/main/default/noisescope`.
# MAGIC - `settings`: keys of `conf/default.yaml`, as in `method=paper discovery.images=3000`.

# COMMAND ----------

from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from noisescope_core import api

asked = api.parameters(
    globals().get("dbutils"), images="", reference="", labels="", work=None, settings={}
)
work = Path(mkdtemp(prefix="own-folder-", dir=asked["work"]))
images, reference, labels = asked["images"], asked["reference"], asked["labels"]
if not images:
    api.simulate(work / "dump", size=96, photographs=90, generated=40, reference=120, workers=1)
    images, reference, labels = (work / "dump" / n for n in ("images", "reference", "labels.csv"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What it will do and cost

# COMMAND ----------

planned = api.plan(images, reference, asked["settings"])
api.show({key: planned[key] for key in ("files", "bytes", "route", "seconds")})
api.show(pd.DataFrame(planned["sizes"])[["size", "images", "reference", "pairs"]])

# COMMAND ----------

# MAGIC %md
# MAGIC ## The run
# MAGIC Every file gets one verdict: `scored`, `unscored` (a sound image on which nothing can be
# MAGIC decided) or `quarantined` (no readable image). The last two say why.

# COMMAND ----------

run = api.detect(images, reference, work / "run", asked["settings"])
verdicts = run.table("verdicts").to_pandas()
counts = verdicts.groupby(["status", "is_fake", "reason"], dropna=False).size()
api.show(counts.rename("images").reset_index())

# COMMAND ----------

# MAGIC %md
# MAGIC ## Fingerprints
# MAGIC `maker` says whose pattern it is: images are flagged for a generator's, not for those of a
# MAGIC device, an overlay or the compression. "No fingerprint" is not "photograph".

# COMMAND ----------

fingerprints = run.table("fingerprints").to_pylist()
for fingerprint in fingerprints:
    api.show(f"{fingerprint['fingerprint_id']}: {fingerprint['images']} images share what a "
             f"{fingerprint['maker'] or 'generator'} leaves",
             api.plot_fingerprint(fingerprint))  # fmt: skip
    if fingerprint["flagged"]:
        api.show(api.plot_scores(run, fingerprint))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Flagged images
# MAGIC The surest first.

# COMMAND ----------

flagged = verdicts[verdicts["is_fake"].eq(True)].sort_values("score", ascending=False)
flagged = flagged.assign(file=flagged["path"].map(lambda path: path.rsplit("/", 1)[-1]))
api.show(flagged[["file", "score", "threshold", "confidence", "fingerprint_id"]].head(20).round(3))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two images explained
# MAGIC The surest of those flagged, and of the others the one that came closest. Any file may be
# MAGIC explained, one that the run never saw too: `api.explain("/path/to/image.jpg", run)`.

# COMMAND ----------

others = verdicts[verdicts["is_fake"].eq(False)].sort_values("score", ascending=False)
for path in [*flagged["path"].head(1), *others["path"].head(1)]:
    told = api.explain(path, run)
    api.show(path, api.plot_explanation(told))
    if told.match:
        api.show(pd.DataFrame(told.match.changes).round(1))

# COMMAND ----------

# MAGIC %md
# MAGIC ## With labels
# MAGIC Files without a label are left out.

# COMMAND ----------

if labels:
    measures = api.evaluate(run, labels)
    api.show({name: round(measures[name], 3) for name in ("precision", "recall", "f1")})

# COMMAND ----------

# MAGIC %md
# MAGIC ## What comes later
# MAGIC Other files need no search: one pass tests them against the fingerprints found. Here the
# MAGIC same folder stands for tomorrow's. For a folder that grows, see `05_scheduled_scan`.

# COMMAND ----------

if any(fingerprint["flagged"] for fingerprint in fingerprints):
    later = api.find_known(images, run.location, work / "later", asked["settings"])
    api.show(
        later.groupby(["status", "is_fake"], dropna=False).size().rename("images").reset_index()
    )

# COMMAND ----------

api.show(f"report: {run.location}/report.html")
