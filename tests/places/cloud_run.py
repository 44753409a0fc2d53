"""examples/cloud-run: what the real gcloud makes of the files and of the command, and the containers' lives."""

import http.server
import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time

import yaml
from kubelet import Pod
from node import HERE, PATIENCE, answers, wait_until
from pods import LIFETIME, PodTest
from stage import DIRECT

EXAMPLES = HERE.parent.parent / "examples"
GCLOUD = shutil.which("gcloud")
HOST = "run.cloud.test"
PROJECT = "demo-project"


class CloudRun(http.server.ThreadingHTTPServer):
    """As much of the Cloud Run Admin API as gcloud asks before and when it creates something, and of Service Usage: the API
    is enabled, and nothing is there."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), CloudRunHandler)
        self.created = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class CloudRunHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/v1/projects/"):
            return self.answer(200, {"state": "ENABLED"})
        return self.answer(404, {"error": {"code": 404, "status": "NOT_FOUND", "message": self.path}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.created.append((self.path.partition("?")[0], body))
        self.answer(200, body)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def commands(readme):
    """The gcloud commands in a README or in a file's comments, as words."""
    text = (EXAMPLES / readme).read_text()
    blocks = (
        re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if readme.endswith(".md") else [re.sub(r"(?m)^# *", "", text)]
    )
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("gcloud ")]


class Files(PodTest):
    """gcloud itself reads the files and the command; what it sends is what they say."""

    def setUp(self):
        super().setUp()
        if not GCLOUD:
            self.skipTest("no gcloud on PATH")

    def gcloud(self, *words):
        """What it creates: the path and the object."""
        api = CloudRun()
        self.addCleanup(api.server_close)
        self.addCleanup(api.shutdown)
        node = self.node()
        place = node.place / "gcloud"
        place.mkdir()
        (place / "token").write_text("ya29.nobody")
        hosts = place / "hosts"
        # gcloud puts the region before the name of the API.
        hosts.write_text(f"127.0.0.1 localhost {HOST} europe-west1-{HOST}\n")
        script = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "CLOUDSDK_CONFIG": str(place),
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(place / "token"),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": f"http://{HOST}:{api.server_port}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE": f"http://{HOST}:{api.server_port}/",
        }
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *words, "--async"],
            check=False,
            cwd=EXAMPLES / "cloud-run",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        (created,) = api.created
        return created

    def check(self, sent, file):
        """All that the file says is in what was sent."""
        if isinstance(file, dict):
            for name, value in file.items():
                self.assertIn(name, sent)
                self.check(sent[name], value)
        elif isinstance(file, list):
            self.assertEqual(len(sent), len(file))
            for one, other in zip(sent, file, strict=True):
                self.check(one, other)
        else:
            self.assertEqual(str(sent), str(file))

    def test_service(self):
        (words,) = commands("cloud-run/service.yaml")
        path, sent = self.gcloud(*words)
        self.assertEqual(path, f"/apis/serving.knative.dev/v1/namespaces/{PROJECT}/services")
        self.check(sent, template("service"))

    def test_job(self):
        words, execute = commands("cloud-run/job.yaml")
        path, sent = self.gcloud(*words)
        self.assertEqual(path, f"/apis/run.googleapis.com/v1/namespaces/{PROJECT}/jobs")
        self.check(sent, template("job"))
        self.assertIn(sent["metadata"]["name"], execute)

    def test_command(self):
        """It deploys what the file says."""
        (words,) = commands("cloud-run/README.md")
        _, sent = self.gcloud(*words)
        (ours,) = template("service")["spec"]["template"]["spec"]["containers"]
        (theirs,) = sent["spec"]["template"]["spec"]["containers"]
        for name in ("image", "args"):
            self.assertEqual(theirs[name], ours[name])
        variables = {one["name"]: one["value"] for one in theirs["env"]}
        wanted = {one["name"]: one["value"] for one in ours["env"]}
        self.assertLessEqual(variables.items(), wanted.items())
        self.assertEqual(len(variables), 2)


class Flags(PodTest):
    def test_flags(self):
        """Each gcloud command of these examples exists, with each of its flags: gcloud's own table for completion says."""
        if not GCLOUD:
            self.skipTest("no gcloud on PATH")
        table = pathlib.Path(GCLOUD).resolve().parent.parent / "data/cli/gcloud_completions.py"
        if not table.exists():
            self.skipTest(f"no {table.name} beside this gcloud")
        specification = importlib.util.spec_from_file_location("completions", table)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        files = [f"{place}/README.md" for place in ("kubernetes", "cloud-run", "compute-engine")]
        checked = 0
        for words in [words for file in files for words in commands(file)]:
            known, flags = module.STATIC_COMPLETION_CLI_TREE, {}
            for word in words[1:]:
                flags |= known.get("flags", {})
                if word.startswith("--"):
                    flag = word.partition("=")[0]
                    here = {**module.STATIC_COMPLETION_CLI_TREE["flags"], **flags}
                    # Only one of --x and --no-x is in the table.
                    self.assertTrue(flag in here or flag.replace("--no-", "--") in here, (flag, words))
                    checked += 1
                elif word in known.get("commands", {}):
                    known = known["commands"][word]
                    flags = {}
                elif known.get("commands"):
                    self.fail(f"no {word} in {words}")
        self.assertGreater(checked, 10)


def template(name):
    return yaml.safe_load((EXAMPLES / "cloud-run" / f"{name}.yaml").read_text())


class Lives(PodTest):
    def play(self, name, **variables):
        node = self.node("--credential-lifetime", str(LIFETIME))
        node.variables = list(variables.items())
        spec = template(name)["spec"]["template"]["spec"]
        spec = spec.get("template", {}).get("spec", spec)
        (container,) = spec["containers"]
        # The platform's own probe of the port is this test's.
        container = {key: value for key, value in container.items() if key in ("image", "args", "env")}
        # Ten seconds from SIGTERM to SIGKILL.
        spec = {"securityContext": {}, "restartPolicy": "Never", "terminationGracePeriodSeconds": 10}
        spec["containers"] = [{"name": "main", **container}]
        pod = Pod(node, name, {"spec": spec}).start()
        self.addCleanup(lambda: pod.is_alive() and pod.delete().wait(PATIENCE))
        return node, pod

    def test_job(self):
        node, pod = self.play("job", CLOUD_RUN_JOB="reads-s3", CLOUD_RUN_TASK_INDEX="0")
        self.check_succeeded(pod)
        self.assertEqual(len(self.seen(pod)), 3)
        self.assertLessEqual(set(self.seen(pod)), {one["access_key_id"] for one in node.issued()})

    def test_frozen_service(self):
        """Stopped for longer than its credentials live, as an instance without CPU is; the next request gets fresh ones."""
        node, pod = self.play("service", PORT="8080", K_SERVICE="reads-s3")
        wait_until("the server", lambda: answers("http://127.0.0.1:8080/") or not pod.is_alive())
        first = self.request()
        self.assertTrue(first["who"].endswith("assumed-role/beam-worker/cloud-run-reads-s3"), first)
        self.signal_all(node, pod, signal.SIGSTOP)
        wait_until("the end of what it had", lambda: not any(one["live"] for one in node.issued()))
        # It has nothing that lives, and has asked for nothing.
        issued = len(node.issued())
        time.sleep(1)
        self.assertEqual(len(node.issued()), issued)
        self.signal_all(node, pod, signal.SIGCONT)
        second = self.request()
        self.assertNotEqual(second["seen"], first["seen"])
        pod.delete().wait(PATIENCE)
        self.assertEqual(node.runs_fedboot(), [])

    def request(self):
        with DIRECT.open("http://127.0.0.1:8080/", timeout=30) as reply:
            return json.load(reply)

    def signal_all(self, node, pod, number):
        namespace = os.readlink(f"/proc/{pod.containers['main'].pid()}/ns/pid")
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and os.readlink(entry / "ns/pid") == namespace:
                os.kill(int(entry.name), number)
