# Databricks notebook source
# MAGIC %md
# MAGIC # A scheduled scan and its tables
# MAGIC
# MAGIC Two days of a folder that grows. Each scan takes what is new, tests it against the
# MAGIC fingerprints that are known, searches what none of them claims, and keeps all in Delta
# MAGIC tables. In between an analyst decides. `docs/scheduled.md` describes the tables,
# MAGIC `docs/schedules.md` how to run scans by the clock.
# MAGIC
# MAGIC The same file is for Databricks (serverless too), for Jupyter, and for
# MAGIC `python notebooks/05_scheduled_scan.py`. The next cell is for Databricks alone: put the
# MAGIC wheel of `make wheel` into a volume and name it there.

# COMMAND ----------

# MAGIC %pip install /Volumes/main/default/noisescope/noisescope-0.1.0-py3-none-any.whl

# COMMAND ----------

# MAGIC %restart_python

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parameters
# MAGIC On Databricks they are widgets, elsewhere environment variables such as
# MAGIC `NOISESCOPE_TABLES`.
# MAGIC
# MAGIC - `work`: takes the images; on Databricks a folder of a volume.
# MAGIC - `tables`: takes the tables; on Databricks a URI in an external location, such as
# MAGIC   `s3://bucket/noisescope`, because a volume holds no tables. Elsewhere a folder will do.
# MAGIC - `settings`: keys of `conf/default.yaml`. Outside Databricks Delta's jars come from Maven
# MAGIC   once; where that cannot be reached, `spark.jars=DIR` takes them from a folder, which
# MAGIC   `noisescope doctor --fetch-jars DIR` fills elsewhere.

# COMMAND ----------

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from noisescope_core import api
from noisescope_core.spark.scans.registry import decide, list_fingerprints

asked = api.parameters(
    globals().get("dbutils"),
    work=None, tables=None, size=96, photographs=60, generated=60, reference=90, settings={},
)  # fmt: skip
work = Path(mkdtemp(prefix="scans-", dir=asked["work"]))
tables = f"{asked['tables'] or work.parent}/{work.name}/tables"
settings = asked["settings"]

# COMMAND ----------

# MAGIC %md
# MAGIC ## Uploads
# MAGIC Half of the images arrive on the first day, the rest on the second.

# COMMAND ----------

api.simulate(
    work / "dump", size=asked["size"], photographs=asked["photographs"],
    generated=asked["generated"], reference=asked["reference"], workers=1,
)  # fmt: skip
files = sorted((work / "dump/images").iterdir())


def deliver(day, arriving):
    """Copy files into the folder that is scanned."""
    (work / "uploads" / day).mkdir(parents=True)
    for file in arriving:
        shutil.copyfile(file, work / "uploads" / day / file.name)


# COMMAND ----------

# MAGIC %md
# MAGIC ## The first day
# MAGIC `noisescope scan` does the same. A scan finishes what an earlier one left undone, and two
# MAGIC at once are refused.

# COMMAND ----------

deliver("monday", files[::2])
done = api.scan(work / "uploads", work / "dump/reference", tables, settings)
told = ("scan", "files", "fake", "quarantined", "found", "rejudged", "alerts")
api.show({name: done[name] for name in told})

# COMMAND ----------

# MAGIC %md
# MAGIC ## A decision
# MAGIC What a scan finds is a candidate. An analyst confirms it, retires it, merges it into
# MAGIC another or calls it a false alarm; the next scan judges by that.

# COMMAND ----------

columns = ["fingerprint_id", "state", "maker", "images", "first_scan", "last_scan"]
with api.tables(tables, settings) as store:
    registry = pd.DataFrame(list_fingerprints(store), columns=columns)
    api.show(registry)
    if len(registry):
        found = list(registry["fingerprint_id"])
        decide(store, found, "confirmed", "looked at twenty of its images", "an analyst")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The second day

# COMMAND ----------

deliver("tuesday", files[1::2])
done = api.scan(work / "uploads", work / "dump/reference", tables, settings)
api.show({name: done[name] for name in told})

# COMMAND ----------

# MAGIC %md
# MAGIC ## The tables
# MAGIC A row of `runs` for each scan; the verdict that holds of each file; what was set aside, and
# MAGIC why; the registry and what was decided. They are Delta tables: any tool that reads those
# MAGIC will do.

# COMMAND ----------

with api.tables(tables, settings) as store:
    runs = store.read("runs").orderBy("scan").toPandas()
    verdicts = store.read("current_verdicts").toPandas()
    quarantine = store.read("quarantine").toPandas()
    fingerprints = store.read("fingerprints").toPandas()
    decisions = store.read("decisions").toPandas()

# COMMAND ----------

columns = ["scan", "files", "scored", "unscored", "quarantined", "fake", "rejudged", "found"]
api.show(runs[columns])
api.show(
    verdicts.groupby(["scan", "status", "is_fake"], dropna=False).size().reset_index(name="files")
)
api.show(quarantine.groupby("reason").size().reset_index(name="files"))
api.show(decisions[["fingerprint_id", "before", "state", "note", "analyst", "scan"]])

# COMMAND ----------

api.show(*map(api.plot_fingerprint, fingerprints.to_dict("records")))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Was it right?

# COMMAND ----------

labels = pd.read_csv(work / "dump/labels.csv").set_index("path")["label"]
verdicts["label"] = [labels[Path(path).name] for path in verdicts["path"]]
api.show(pd.crosstab(verdicts["label"], verdicts["is_fake"].fillna("no verdict")).reset_index())
