"""The lives of the pods of examples/kubernetes, as kubelet.py leads them."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from kubelet import Pod
from node import HERE, PATIENCE, Node, wait_until

EXAMPLES = HERE.parent.parent / "examples/kubernetes"
# Sessions and tokens are this short, so that a pod lives through several of them.
LIFETIME = 6


def judged(arguments, *files):
    """What Kubernetes says of the manifests, an entry for each object."""
    command = [arguments.kubernetes, *map(str, files)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


class PodTest(unittest.TestCase):
    arguments = None
    why_not = None

    def setUp(self):
        if self.why_not:
            self.skipTest(self.why_not)

    def node(self, *options, aws=None):
        node = Node(self.arguments, *options, aws=aws)
        return self.enterContext(node)

    def pod(self, node, name, kind, change=None):
        """The pod of that file's only object of that kind. `change` is for what a test plays differently."""
        (found,) = [
            one
            for one in judged(self.arguments, EXAMPLES / f"{name}.yaml")
            if kind in (one["name"], one["kind"].rpartition("=")[2])
        ]
        template = found["pod"]
        if change:
            change(template["spec"])
        pod = Pod(node, found["name"], template).start()
        self.addCleanup(lambda: pod.is_alive() and pod.delete().wait(PATIENCE))
        return pod

    def lines(self, pod, container="main"):
        text = pod.containers[container].log.read_text(errors="replace") if container in pod.containers else ""
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line) for line in whole if line.startswith("{")]

    def seen(self, pod):
        return list(dict.fromkeys(line["seen"] for line in self.lines(pod) if "seen" in line))

    def wait_seen(self, pod, number):
        wait_until(f"{number} credentials", lambda: len(self.seen(pod)) >= number or not pod.is_alive())
        self.assertTrue(pod.is_alive(), pod.said())

    def check_succeeded(self, pod, seconds=PATIENCE):
        pod.wait(seconds)
        self.assertEqual(pod.phase, "Succeeded", pod.said())
        self.assertEqual(pod.containers["main"].restarts, 0, pod.said())

    def check_nothing_left(self, node):
        self.assertEqual(node.runs_fedboot(), [])

    def order(self, pod, *events):
        """These happened, in this order."""
        said = [event for _, event in pod.events]
        places = [said.index(event) for event in events]
        self.assertEqual(places, sorted(places), said)


class OnGke(PodTest):
    """What the tests of pods that ask AWS have in common."""

    def gke(self):
        node = self.node("--credential-lifetime", str(LIFETIME))
        node.ask("settings", {"id_token_lifetime_seconds": LIFETIME * 2})
        return node

    def check_issued(self, node, pod, session):
        """Each key that the client used was issued by STS, to a session of that name."""
        issued = {one["access_key_id"]: one for one in node.issued()}
        for key in self.seen(pod):
            self.assertIn(key, issued)
        whose = {line["who"] for line in self.lines(pod) if "who" in line}
        self.assertEqual(whose, {f"arn:aws:sts::123456789012:assumed-role/beam-worker/{session}"})


class Jobs(OnGke):
    """fedboot stands in front of the main container's program."""

    def test_job(self):
        """fedboot is the ENTRYPOINT; the root is read-only, the user is nobody's."""
        node = self.gke()
        pod = self.pod(node, "gke-job", "Job")
        self.check_succeeded(pod)
        self.assertEqual(len(self.seen(pod)), 3)
        self.check_issued(node, pod, f"default.{pod.name}")
        wait_until("the agent's end", lambda: not node.runs_fedboot())

    def test_copied_binary(self):
        """An init container copies it; $(ROLE_ARN) stands in its arguments."""
        node = self.gke()
        pod = self.pod(node, "gke-copy", "Job")
        self.check_succeeded(pod)
        self.order(pod, "fedboot starts", "fedboot ended with 0", "main starts", "main ended with 0")
        self.assertEqual(len(self.seen(pod)), 3)
        self.check_issued(node, pod, pod.name)

    def test_job_outlives_its_agent(self):
        """SIGKILL of the agent in mid-job: another one takes over, the program does not notice."""
        node = self.gke()
        pod = self.pod(node, "gke-job", "Job")
        self.wait_seen(pod, 1)
        agents = node.runs_fedboot()
        self.assertEqual(len(agents), 2, "a guard and an agent")
        os.kill(max(agents), signal.SIGKILL)
        self.check_succeeded(pod)
        self.assertEqual(len(self.seen(pod)), 3)

    def test_restarted_container(self):
        """The program is killed; the kubelet starts the container anew, and it has credentials as before."""
        node = self.gke()
        pod = self.pod(node, "gke-job", "Job")
        self.wait_seen(pod, 1)
        os.kill(pod.containers["main"].pid(), signal.SIGKILL)
        pod.wait(PATIENCE)
        self.assertEqual((pod.phase, pod.containers["main"].codes), ("Succeeded", [137, 0]), pod.said())

    def test_no_role(self):
        """STS refuses: the program does not start, the Job's pod fails, and says why."""
        node = self.gke()

        def elsewhere(spec):
            spec["restartPolicy"] = "Never"
            (role,) = [one for one in spec["containers"][0]["env"] if one["name"] == "FEDBOOT_ROLE_ARN"]
            role["value"] = "arn:aws:iam::123456789012:role/somebody-else"

        pod = self.pod(node, "gke-job", "Job", elsewhere).wait(PATIENCE)
        self.assertEqual((pod.phase, pod.containers["main"].codes), ("Failed", [125]), pod.said())
        self.assertIn("AccessDenied", pod.said())
        self.assertEqual(self.seen(pod), [])

    def test_grace_period(self):
        """A program that does not end is killed after terminationGracePeriodSeconds, and fedboot with it."""
        node = self.gke()

        def deaf(spec):
            spec["terminationGracePeriodSeconds"] = 2
            spec["containers"][0]["args"] = ["sleep", "600"]

        pod = self.pod(node, "gke-job", "Job", deaf)
        wait_until("sleep", lambda: "main" in pod.containers and "ready" in pod.said())
        pod.delete().wait(PATIENCE)
        self.order(pod, "main gets SIGTERM", "main gets SIGKILL", "main ended with 137")
        wait_until("the agent's end", lambda: not node.runs_fedboot())


class Sidecars(OnGke):
    """fedboot is a container of its own."""

    def test_cron_job(self):
        """Its sidecar does not keep it alive: it is told when the program has ended. The second run is as the first."""
        node = self.gke()
        for _ in range(2):
            pod = self.pod(node, "gke-cronjob", "CronJob")
            self.check_succeeded(pod)
            self.order(pod, "fedboot starts", "main starts", "main ended with 0", "fedboot gets SIGTERM")
            self.assertEqual(len(self.seen(pod)), 3)
            self.assertEqual(pod.containers["fedboot"].codes, [0], pod.said())
            self.check_nothing_left(node)

    def test_deployment(self):
        """Beside a program that runs on: the agent is killed, then its whole container; at last the pod is deleted."""
        node = self.gke()

        def for_ever(spec):
            spec["containers"][0]["env"].append({"name": "APP_FOR_EVER", "value": "1"})

        pod = self.pod(node, "gke-sidecar", "Deployment", for_ever)
        self.wait_seen(pod, 1)
        wait_until("a ready pod", pod.ready)
        volume = pod.volumes["aws"]
        token = volume / "token"
        self.assertEqual(oct(token.stat().st_mode & 0o777), "0o640")
        self.assertEqual((token.stat().st_uid, token.stat().st_gid), (65532, 2000))

        os.kill(max(set(node.runs_fedboot())), signal.SIGKILL)
        self.wait_seen(pod, 2)
        self.assertEqual(pod.containers["fedboot"].restarts, 0)

        before = token.read_text()
        os.kill(pod.containers["fedboot"].pid(), signal.SIGKILL)
        wait_until(
            "another sidecar", lambda: pod.containers["fedboot"].restarts == 1 and pod.containers["fedboot"].ready
        )
        wait_until("another token", lambda: token.read_text() != before)
        self.wait_seen(pod, 3)

        pod.delete().wait(PATIENCE)
        self.order(pod, "main gets SIGTERM", "main ended with 0", "fedboot gets SIGTERM")
        self.assertIn({"told": True}, self.lines(pod), "a last call after SIGTERM, with credentials")
        self.assertEqual(pod.containers["main"].codes, [0], pod.said())
        self.check_nothing_left(node)

    def test_once(self):
        """An init container writes static keys, and is gone before the program starts."""
        node = self.node()

        def once(spec):
            spec["containers"][0]["args"] = ["once"]

        pod = self.pod(node, "gke-once", "Job", once)
        self.check_succeeded(pod)
        self.order(pod, "fedboot ended with 0", "main starts")
        self.check_issued(node, pod, pod.name)


class OnEks(PodTest):
    def eks(self, place):
        node = self.node("--access-token-cap", str(LIFETIME), aws=place)
        self.email = node.external_account()["service_account_impersonation_url"].rpartition("/")[2].partition(":")[0]
        return node

    def check_google(self, pod, number):
        self.assertGreaterEqual(len(self.seen(pod)), number)
        self.assertEqual({line["who"] for line in self.lines(pod) if "who" in line}, {self.email})

    def test_pod_identity(self):
        node = self.eks("pod-identity")
        pod = self.pod(node, "eks-pod-identity", "Job")
        self.check_succeeded(pod)
        self.check_google(pod, 3)

    def test_irsa(self):
        node = self.eks("web-identity")
        pod = self.pod(node, "eks-irsa", "Deployment")
        self.wait_seen(pod, 2)
        wait_until("a ready pod", pod.ready)
        pod.delete().wait(PATIENCE)
        self.check_google(pod, 2)
        self.order(pod, "fedboot starts", "main starts", "main gets SIGTERM", "fedboot gets SIGTERM")
        self.check_nothing_left(node)

    def test_by_name(self):
        node = self.eks("web-identity")
        pod = self.pod(node, "fixed-address", "by-name")
        self.check_succeeded(pod)
        self.assertEqual({line["host"] for line in self.lines(pod)}, {"metadata.google.internal"})

    def test_by_address(self):
        node = self.eks("web-identity")
        pod = self.pod(node, "fixed-address", "by-address")
        self.check_succeeded(pod)


class Manifests(PodTest):
    """Kubernetes' own strict decoding, validation and Pod Security Standards."""

    def test_valid(self):
        files = sorted(EXAMPLES.glob("*.yaml"))
        objects = judged(self.arguments, *files)
        self.assertGreaterEqual(len(objects), 16)
        self.assertEqual({pathlib.Path(one["file"]) for one in objects}, set(files))
        for one in objects:
            with self.subTest(one["file"].rpartition("/")[2], name=one["name"]):
                self.assertFalse(one["errors"] or one["warnings"], one)
                # What needs NET_ADMIN says so in its file.
                if one["name"] != "by-address":
                    self.assertFalse(one.get("security"))

    def test_what_is_wrong_is_found(self):
        """Or the test above would show nothing: each of these lines is changed, and refused for it."""
        text = (EXAMPLES / "gke-cronjob.yaml").read_text()
        wrong = {
            'unknown field "spec.jobTemplate.spec.template.spec.initContainers[0].restartpolicy"': (
                "restartPolicy: Always",
                "restartpolicy: Always",
            ),
            "volumeMounts[0].name: Not found": ("name: aws, mountPath", "name: gcp, mountPath"),
            "schedule: Invalid value": ('"*/15 * * * *"', '"every 15 minutes"'),
            "allowPrivilegeEscalation != false": ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        }
        for message, (right, changed) in wrong.items():
            with self.subTest(message):
                file = pathlib.Path(
                    self.enterContext(tempfile.TemporaryDirectory(prefix="fedboot-places-")), "changed.yaml"
                )
                self.assertIn(right, text)
                file.write_text(text.replace(right, changed))
                *_, one = judged(self.arguments, file)
                self.assertIn(message, json.dumps(one, ensure_ascii=False).replace('\\"', '"'))
