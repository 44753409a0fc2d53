"""One script, its two clouds, and what it leaves behind."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from clouds import ACCOUNT, Clouds
from gcloud import NUMBER, PROJECT

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent / "scripts"
TO_AWS, TO_GOOGLE = "setup-google-to-aws", "setup-aws-to-google"
WORKER = f"fedboot-worker@{PROJECT}.iam.gserviceaccount.com"
READER = f"fedboot-reader@{PROJECT}.iam.gserviceaccount.com"
TASK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/task"
READS = f"arn:aws:iam::{ACCOUNT}:policy/reads"
GIVEN = {
    TO_AWS: ["--project", PROJECT, "--location", "europe-west1", "--aws-region", "eu-west-1"]
    + ["--s3-read", "in-bucket", "--s3-write", "out-bucket", "--policy-arn", READS],
    TO_GOOGLE: ["--project", PROJECT, "--aws-role", TASK_ROLE, "--role", "roles/bigquery.jobUser"],
}
POOL = f"projects/{NUMBER}/locations/global/workloadIdentityPools/aws-roles"
PROVIDER = f"aws-{ACCOUNT}"


class Stage:
    """Clouds, and a directory in which the script is called."""

    def __init__(self, real_aws):
        self.clouds = Clouds()
        self.real_aws = real_aws
        self.place = tempfile.TemporaryDirectory(prefix="grants-")
        self.cwd = pathlib.Path(self.place.name, "with a space")
        self.cwd.mkdir()
        self.bin = pathlib.Path(self.place.name, "bin")
        self.bin.mkdir()
        # A shim in front of the interpreter would take longer than all that it does here.
        python = os.path.realpath(sys.executable)
        (self.bin / "python3").symlink_to(python)
        for name in ("gcloud", "aws"):
            (self.bin / name).write_text(f"#!{python} -ISE\n{(HERE / 'stand_in.py').read_text()}")
            (self.bin / name).chmod(0o755)

    def reset(self, **google):
        self.clouds.reset(**google)
        shutil.rmtree(self.cwd)
        self.cwd.mkdir()

    def environment(self, tools=None, only=None):
        path = str(only or ":".join(str(it) for it in (tools, self.bin, os.environ["PATH"]) if it))
        return {**os.environ, "PATH": path, "GRANTS_SOCKET": self.clouds.path, "HOME": str(self.cwd)}

    def run(self, script, *more, given=None, **where):
        """Runs one of the two; what it did and printed."""
        given = GIVEN[script] if given is None else given
        self.clouds.calls.clear()
        return self.command([str(SCRIPTS / script), *given, *more], **where)

    def command(self, argv, **where):
        return subprocess.run(
            argv, capture_output=True, text=True, cwd=self.cwd, env=self.environment(**where), timeout=300, check=False
        )

    def state(self):
        """Everything in both clouds and the directory that a run may change."""
        iam = self.clouds.iam()
        roles = {}
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
            roles[name] = {
                "trust": iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"],
                "tags": iam.list_role_tags(RoleName=name)["Tags"],
                "inline": {it: iam.get_role_policy(RoleName=name, PolicyName=it)["PolicyDocument"] for it in inline},
                "managed": [
                    it["PolicyArn"] for it in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
                ],
            }
        files = {file.name: file.read_text() for file in self.cwd.iterdir() if file.suffix == ".json"}
        return {**self.clouds.google.state(), "roles": roles, "files": files}


def succeeded(done):
    """What a run printed, if it went well."""
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-900:]}"
    assert not done.stderr, done.stderr
    return done.stdout


@contextlib.contextmanager
def changed_nothing(stage):
    """What happens inside changes nothing in the clouds."""
    before = stage.state()
    yield
    assert not stage.clouds.changes(), stage.clouds.changes()
    assert stage.state() == before
