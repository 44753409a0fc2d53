"""Airflow as MWAA runs it: a startup script in a shell of its own, what it exports handed on, then Airflow's processes.

Modelled on the entrypoint of aws/amazon-mwaa-docker-images: /bin/bash sources the script with its output in pipes, the
variables that it leaves are read back and laid over those of the container (so an `unset` is lost), and each Airflow
process gets them. Here the processes are those of `airflow standalone`, with SQLite.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "beam"))
import stage

# Sources $1, and writes what it left into $2.
SOURCE = 'source "$1"; exec "$3" -c "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], \'w\'))" "$2"'
# What a startup script cannot change there.
PROTECTED = ("AIRFLOW_HOME", "AWS_REGION", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
EXAMPLE = HERE.parents[1] / "examples/mwaa"
# One of ours, and the one that people are shown.
TASKS = {"bigquery.insert", "bigquery.outlive", "bigquery_from_aws.ask", "bigquery_from_aws.tell"}


class Environment:
    """One container: its home, its variables, its Airflow."""

    def __init__(self, venv, place, variables, external_account, fedboot=None):
        self.bin, self.home = pathlib.Path(venv, "bin"), place / "airflow"
        shutil.copytree(HERE / "airflow/dags", self.home / "dags")
        shutil.copy(EXAMPLE / "bigquery_dag.py", self.home / "dags")
        (self.home / "dags/fedboot").mkdir()
        (self.home / "dags/fedboot/google.json").write_text(json.dumps(external_account))
        if fedboot:
            # As it comes from a bucket: nobody may execute it.
            shutil.copyfile(fedboot, self.home / "dags/fedboot/fedboot")
        port = stage.free_port()
        self.variables = {
            **variables,
            "PATH": f"{self.bin}:{variables['PATH']}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(stage.free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(stage.free_port()),
        }

    def airflow(self, *words):
        """One command of Airflow's CLI. Returns its code and all that it said."""
        done = subprocess.run(
            [self.bin / "airflow", *words],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout

    def prepare(self):
        """The database, with the connections that come with Airflow."""
        for words in (("db", "migrate"), ("connections", "create-default-connections")):
            code, said = self.airflow(*words)
            assert code == 0, f"airflow {' '.join(words)}: {said[-600:]}"

    def start_up(self):
        """Runs the startup script. Returns what it said on stderr."""
        left = self.home / "customer_env_vars.json"
        done = subprocess.run(
            ["/bin/bash", "-c", SOURCE, "bash", EXAMPLE / "startup.sh", left, sys.executable],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        customer = json.loads(left.read_text())
        self.variables |= {name: value for name, value in customer.items() if name not in PROTECTED}
        return done.stderr

    def stop_agent(self):
        if pid := self.variables.get("FEDBOOT_AGENT_PID"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)

    @contextlib.contextmanager
    def standalone(self):
        with (self.home / "standalone.log").open("w") as log:
            process = subprocess.Popen(
                [self.bin / "airflow", "standalone"],
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                # All of the session: the parent takes its time to tell its children.
                for number in (signal.SIGTERM, signal.SIGKILL):
                    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                        os.killpg(process.pid, number)
                        process.wait(5)

    def tasks(self):
        """The state of each task, as the scheduler has it in its database."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True)) as database:
            return dict(database.execute("SELECT dag_id || '.' || task_id, state FROM task_instance"))

    def run_dag(self, seconds):
        """Starts Airflow, which runs each DAG once. Returns how each task ended."""
        with self.standalone() as process:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                states = self.tasks()
                if set(states) == TASKS and set(states.values()) <= {"success", "failed", "upstream_failed"}:
                    return states
                if process.poll() is not None:
                    raise RuntimeError(f"airflow standalone ended with {process.returncode}")
                time.sleep(0.5)
            raise TimeoutError(f"the DAGs did not end within {seconds} s: {states}")

    def task_log(self, name):
        """All that the task wrote."""
        dag, task = name.split(".")
        logs = sorted(self.home.glob(f"logs/dag_id={dag}/*/task_id={task}/*.log"))
        return "".join(log.read_text(errors="replace") for log in logs)
