"""An hourly scan by spark-submit, for Airflow 3; docs/schedules.md tells what exit codes mean."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Param, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

USAGE, ALERT = 2, 3

# Callbacks of your notifiers, such as SmtpNotifier(to="...") of the provider smtp.
ON_FAILURE: list[Any] = []

COMMAND = [
    "{{ params.spark_submit }}",
    "--master={{ params.master }}",
    "--packages={{ params.delta }}",
    "--py-files={{ params.wheel }}",
    "{{ params.job }}",
    "--images={{ params.images }}",
    "--reference={{ params.reference }}",
    "--tables={{ params.tables }}",
]


class Scan(BaseOperator):
    """Run the command; a failure is tried again, wrong usage is not, an alert is a success."""

    template_fields = ("command", "python")

    def __init__(self, *, command: list[str], python: str, **options: Any) -> None:
        super().__init__(**options)
        self.command = command
        self.python = python
        self.hook = SubprocessHook()

    def execute(self, context: Any) -> int:
        """Return 0, or 3 after an alert."""
        environment = {**os.environ, "PYSPARK_PYTHON": self.python}
        code = self.hook.run_command(self.command, env=environment).exit_code
        if code == USAGE:
            raise AirflowFailException("wrong usage or configuration: exit code 2")
        if code not in (0, ALERT):
            raise AirflowException(f"the scan failed: exit code {code}")
        return code

    def on_kill(self) -> None:
        """Stop spark-submit with the task."""
        self.hook.send_sigterm()


with DAG(
    "noisescope_scan",
    schedule="23 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    params={
        "images": Param("/data/uploads", type="string"),
        "reference": Param("/data/photographs", type="string"),
        "tables": Param("/data/noisescope", type="string"),
        "master": Param("local[*]", type="string"),
        "python": Param("/opt/noisescope/.venv/bin/python", type="string"),
        "spark_submit": Param("/opt/noisescope/.venv/bin/spark-submit", type="string"),
        "job": Param("/opt/noisescope/jobs/scan.py", type="string"),
        "wheel": Param("/opt/noisescope/dist/noisescope-0.1.0-py3-none-any.whl", type="string"),
        "delta": Param("io.delta:delta-spark_4.2_2.13:4.4.0", type="string"),
    },
    default_args={"on_failure_callback": ON_FAILURE},
    doc_md=__doc__,
):
    scan = Scan(
        task_id="scan",
        command=COMMAND,
        python="{{ params.python }}",
        retries=3,
        # By then a scan that died on another machine no longer holds the tables.
        retry_delay=timedelta(minutes=20),
    )

    # A task of its own: done again, the scan would find nothing new and the alert would be lost.
    @task(retries=0)
    def alert(code: int) -> None:
        """Fail if a threshold was exceeded."""
        if code == ALERT:
            raise AirflowFailException(
                "a threshold of `alerts` was exceeded: see the lines ALERT in the log of `scan`"
            )

    alert(scan.output)
