"""Whether what the scripts have granted is granted: by the sandbox's clouds, which verify it, to the real fedboot."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request


def unique_id(sandbox, email):
    """The number that the sandbox gives a service account."""
    program = (
        "import os, urllib.request as u; print(u.urlopen(os.environ['FEDBOOT_SANDBOX'] + '/settings').read().decode())"
    )
    command = [sandbox, "--quiet", "--service-account", email, "--", sys.executable, "-c", program]
    return json.loads(subprocess.check_output(command))["service_account"]["unique_id"]


def by_aws(sandbox, fedboot, policy, role, email):
    """Whether STS lets that service account into a role with that trust policy."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(policy))
        file.flush()
        options = ["--service-account", email, "--role", role, "--trust-policy", file.name]
        return ends_well([sandbox, "--quiet", *options, "--", fedboot, "--", "true"])


def by_google(sandbox, fedboot, config, provider, users, email, role):
    """Whether Google lets a task of that AWS role be that service account.

    `config` is the external-account file, `provider` as Google keeps it, `users` the members of its
    roles/iam.workloadIdentityUser.
    """
    with tempfile.TemporaryDirectory() as place:
        file = pathlib.Path(place, "google.json")
        file.write_text(json.dumps(config))
        settings = {"providers": [provider], "workload_identity_users": {email: users}}
        inside = [sys.executable, __file__, str(file), json.dumps(settings), fedboot]
        return ends_well(
            [sandbox, "--quiet", "--aws", "ecs", "--service-account", email, "--role", role, "--", *inside]
        )


def ends_well(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode not in (0, 125):
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.returncode == 0


def inside_sandbox(file, settings, fedboot):
    """Tells the sandbox what was granted, leads the file to it, and becomes fedboot."""
    control = os.environ["FEDBOOT_SANDBOX"]
    urllib.request.urlopen(urllib.request.Request(f"{control}/settings", data=settings.encode(), method="POST")).close()
    ours = json.loads(pathlib.Path(file).read_text())
    its = json.loads(pathlib.Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    ours["token_url"] = its["token_url"]
    key = "service_account_impersonation_url"
    ours[key] = its[key].split("/v1/")[0] + "/v1/" + ours[key].split("/v1/")[1]
    pathlib.Path(file).write_text(json.dumps(ours))
    os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = file
    os.execv(fedboot, [fedboot, "--timeout", "5", "--", "true"])


if __name__ == "__main__":
    inside_sandbox(*sys.argv[1:])
