"""The grant scripts, run as programs against both clouds; see run."""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

import granted
import tree
from bad_input import ROWS
from stage import (
    GIVEN,
    HERE,
    POOL,
    PROVIDER,
    READER,
    TASK_ROLE,
    TO_AWS,
    TO_GOOGLE,
    WORKER,
    Stage,
    changed_nothing,
    succeeded,
)

CASES = {}


def case(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


class Skip(Exception):
    """Why a case cannot run here."""


@case
def a_google_account_may_be_the_role(stage, given):
    """Both clouds empty, the aws CLI as a program of its own; the policy is then asked by a real token."""
    stage.reset(unique_ids=[granted.unique_id(given.sandbox, WORKER)])
    out = succeeded(stage.run(TO_AWS, tools=stage.real_aws))
    role = stage.state()["roles"]["fedboot-worker"]
    arn = "arn:aws:iam::123456789012:role/fedboot-worker"
    assert arn in out and "gcloud builds submit" in out, out
    assert granted.by_aws(given.sandbox, given.fedboot, role["trust"], arn, WORKER)
    other = "other@demo-project.iam.gserviceaccount.com"
    assert not granted.by_aws(given.sandbox, given.fedboot, role["trust"], arn, other)
    # The same conditions as fedboot itself asks for.
    unique_id = stage.clouds.google.accounts[WORKER]["uniqueId"]
    wanted = subprocess.check_output(
        [given.fedboot, "trust-policy", "--service-account-unique-id", unique_id], stderr=subprocess.DEVNULL
    )
    (ours,) = role["trust"]["Statement"]
    (theirs,) = json.loads(wanted)["Statement"]
    assert {**ours, "Sid": ""} == {**theirs, "Sid": ""}, (ours, theirs)
    attributes = stage.clouds.google.attributes
    assert attributes["fedboot-role-arn"] == arn.replace("fedboot-worker", "{service_account}"), attributes
    assert attributes["enable-oslogin"] == "TRUE", attributes
    resources = [it["Resource"] for it in role["inline"]["fedboot"]["Statement"]]
    assert resources[-1] == ["arn:aws:s3:::out-bucket/*"], resources


@case
def an_aws_role_may_be_the_account(stage, given):
    """The mapping, the binding and the file that came out, by the sandbox's Google; another role of the account is refused."""
    stage.reset()
    succeeded(stage.run(TO_GOOGLE))
    state = stage.state()
    config = json.loads(state["files"]["google.json"])
    assert config["audience"] == f"//iam.googleapis.com/{POOL}/providers/{PROVIDER}", config
    kept = state["providers"][PROVIDER]
    (users,) = [it["members"] for it in state["policies"]["service-account", READER]]
    provider = {
        "name": f"{POOL}/providers/{PROVIDER}",
        "aws": {"account_id": kept["aws"]["accountId"]},
        "attribute_mapping": kept["attributeMapping"],
    }
    for role, may in ((TASK_ROLE, True), (TASK_ROLE + "-of-others", False)):
        is_let_in = granted.by_google(given.sandbox, given.fedboot, config, provider, users, READER, role)
        assert is_let_in == may, (role, is_let_in)
    # The same mapping and member as fedboot itself prints.
    options = ["--aws-role", TASK_ROLE, "--workload-identity-provider", f"{POOL}/providers/{PROVIDER}"]
    command = [given.fedboot, "trust-policy", "--format", "json", "--impersonate-service-account", READER, *options]
    said = json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))
    assert said["attribute_mapping"] == kept["attributeMapping"] and users == [said["member"]], said
    longest = f"arn:aws-us-gov:sts::123456789012:assumed-role/{'x' * 64}"
    assert len(longest) < 127, "a subject"


@case
def a_second_run_changes_nothing(stage, _given):
    for script in GIVEN:
        stage.reset()
        succeeded(stage.run(script))
        stage.clouds.calls.clear()
        with changed_nothing(stage):
            out = succeeded(stage.run(script))
        lines = [line for line in out.splitlines() if line.startswith("[")]
        assert lines and all("is there already" in line for line in lines), out


def interrupted(script, stage):
    """Killed as soon as the cloud has made one thing more, before it hears of it."""
    stage.reset()
    succeeded(stage.run(script))
    wanted, changes = stage.state(), len(stage.clouds.changes())
    assert changes >= 7, changes
    for number in range(1, changes + 1):
        stage.reset()
        stage.clouds.kill_after = number
        killed = stage.run(script)
        assert killed.returncode == -9, (number, killed)
        succeeded(stage.run(script))
        assert stage.state() == wanted, (script, number)
        assert len(stage.clouds.changes()) == changes - number, (script, number, stage.clouds.changes())


@case
def an_interruption_at_each_step_to_aws(stage, _given):
    interrupted(TO_AWS, stage)


@case
def an_interruption_at_each_step_to_google(stage, _given):
    interrupted(TO_GOOGLE, stage)


@case
def what_was_made_is_undone(stage, _given):
    for script in GIVEN:
        stage.reset()
        before = {**stage.state(), "apis": None}
        succeeded(stage.run(script))
        stage.clouds.kill_after = 3
        assert stage.run(script, "--undo").returncode == -9
        succeeded(stage.run(script, "--undo"))
        after = {**stage.state(), "apis": None}
        # Pools and providers stay for thirty days, deleted.
        for kind in ("pools", "providers"):
            assert all(it["state"] == "DELETED" for it in after[kind].values()), after
            after[kind] = {}
        assert after == before, (script, after)
        stage.clouds.calls.clear()
        with changed_nothing(stage):
            succeeded(stage.run(script, "--undo"))
        # And once more from the start: a pool comes back from its thirty days.
        succeeded(stage.run(script))


@case
def what_others_made_stays(stage, _given):
    """The account, its rights, the role and the pool were there before; undo takes nothing of them."""
    stage.reset()
    google, iam = stage.clouds.google, stage.clouds.iam()
    google.iam_service_accounts_create(["fedboot-worker"], {}, "")
    google.policies["project", "demo-project"].append(
        {"role": "roles/dataflow.worker", "members": [f"serviceAccount:{WORKER}"]}
    )
    ecs = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [ecs]}
    iam.create_role(RoleName="fedboot-worker", AssumeRolePolicyDocument=json.dumps(trust))
    google.attributes["fedboot-role-arn"] = "arn:aws:iam::123456789012:role/other"
    refused = stage.run(TO_AWS)
    assert refused.returncode == 1 and "it trusts others" in refused.stderr, refused.stderr
    assert "--change-existing" in refused.stderr, refused.stderr
    assert stage.state()["roles"]["fedboot-worker"]["trust"] == trust
    succeeded(stage.run(TO_AWS, "--change-existing"))
    statements = stage.state()["roles"]["fedboot-worker"]["trust"]["Statement"]
    assert ecs in statements and len(statements) == 2, statements
    assert google.attributes["fedboot-role-arn"].endswith(":role/{service_account}")
    out = succeeded(stage.run(TO_AWS, "--undo"))
    assert "it was not made here" in out, out
    state = stage.state()
    assert WORKER in state["accounts"] and state["roles"]["fedboot-worker"]["trust"] == trust, state
    assert any(it["role"] == "roles/dataflow.worker" for it in state["policies"]["project", "demo-project"])
    assert not state["roles"]["fedboot-worker"]["inline"], state["roles"]


@case
def what_others_need_stays(stage, _given):
    """Two teams share a project; then an image and an object are there that nobody asked to lose."""
    stage.reset()
    team = ["--project", "demo-project", "--location", "europe-west1", "--service-account", "other-worker"]
    succeeded(stage.run(TO_AWS))
    succeeded(stage.run(TO_AWS, given=[*team, "--aws-region", "eu-west-1"]))
    # The options of the first run need not be said again.
    given = ["--project", "demo-project", "--location", "europe-west1"]
    out = succeeded(stage.run(TO_AWS, "--undo", given=given))
    assert (
        "repository fedboot in europe-west1: stays: other-worker@demo-project.iam.gserviceaccount.com may need it"
        in out
    )
    google = stage.clouds.google
    assert set(google.accounts) == {
        f"{it}@demo-project.iam.gserviceaccount.com" for it in ("other-worker", "fedboot-build")
    }
    assert len(google.policies["repository", "fedboot"]) == 2, google.policies
    assert google.attributes["fedboot-role-arn"].endswith(":role/{service_account}"), google.attributes
    assert set(stage.state()["roles"]) == {"other-worker"}
    google.repositories["fedboot"]["images"] = [{"name": "beam"}]
    google.buckets["gs://demo-project-fedboot"]["objects"] = ["logs/log"]
    out = succeeded(stage.run(TO_AWS, "--undo", given=team))
    assert "stays: there are images in it" in out and "is not empty" in out, out
    assert google.repositories and google.buckets and not google.accounts and not stage.state()["roles"]
    assert "fedboot-role-arn" not in google.attributes, google.attributes


@case
def a_pool_that_others_need_stays(stage, _given):
    """A second AWS role with an account of its own comes through the same pool and provider."""
    stage.reset()
    team = ["--project", "demo-project", "--aws-role", f"{TASK_ROLE}-2", "--service-account", "other-reader"]
    succeeded(stage.run(TO_GOOGLE))
    succeeded(stage.run(TO_GOOGLE, given=[*team, "--output", "other.json"]))
    out = succeeded(stage.run(TO_GOOGLE, "--undo"))
    assert out.count("stays: other-reader@demo-project.iam.gserviceaccount.com may need it") == 2, out
    google = stage.clouds.google
    assert set(google.accounts) == {"other-reader@demo-project.iam.gserviceaccount.com"}, google.accounts
    assert google.pools["aws-roles"]["state"] == google.providers[PROVIDER]["state"] == "ACTIVE", google.pools
    lists = [argv for argv in stage.clouds.calls if argv[:4] == ["gcloud", "iam", "service-accounts", "list"]]
    assert len(lists) == 1, lists
    succeeded(stage.run(TO_GOOGLE, "--undo", given=[*team, "--output", "other.json"]))
    assert google.pools["aws-roles"]["state"] == google.providers[PROVIDER]["state"] == "DELETED", google.pools


@case
def a_dry_run_is_a_script_that_does_the_same(stage, _given):
    for script in GIVEN:
        stage.reset()
        succeeded(stage.run(script))
        wanted = stage.state()
        undo = succeeded(stage.run(script, "--dry-run", "--undo"))
        stage.reset()
        printed = succeeded(stage.run(script, "--dry-run"))
        assert not stage.clouds.calls, stage.clouds.calls
        (stage.cwd / "made.sh").write_text(printed)
        done = stage.command(["bash", "made.sh"])
        assert done.returncode == 0, done.stderr
        assert stage.state() == wanted, script
        (stage.cwd / "undo.sh").write_text(undo)
        done = stage.command(["bash", "undo.sh"])
        assert done.returncode == 0, done.stderr
        assert not stage.state()["accounts"] and not stage.state()["roles"] and not stage.state()["files"]


@case
def an_account_that_is_not_known_everywhere_yet(stage, _given):
    stage.reset()
    stage.clouds.google.late = 1
    succeeded(stage.run(TO_AWS))


@case
def a_tool_that_is_missing_is_named(stage, _given):
    """Before anything is changed; a dry run needs neither."""
    stage.reset()
    tools = stage.cwd / "tools"
    tools.mkdir()
    (tools / "env").symlink_to(shutil.which("env"))
    (tools / "python3").symlink_to(stage.bin / "python3")
    for name in ("gcloud", "aws"):
        with changed_nothing(stage):
            done = stage.run(TO_AWS, only=tools)
        assert done.returncode == 1 and f"{name} is not on PATH" in done.stderr and "https://" in done.stderr, (
            done.stderr
        )
        succeeded(stage.run(TO_AWS, "--dry-run", only=tools))
        (tools / name).symlink_to(stage.bin / name)
    succeeded(stage.run(TO_AWS, only=tools))


@case
def a_kubernetes_account_may_be_it(stage, _given):
    stage.reset()
    out = succeeded(stage.run(TO_AWS, "--kubernetes", "jobs/reader", given=["--project", "demo-project"]))
    (binding,) = stage.state()["policies"]["service-account", WORKER]
    assert binding["members"] == ["serviceAccount:demo-project.svc.id.goog[jobs/reader]"], binding
    assert f"--namespace jobs iam.gke.io/gcp-service-account={WORKER}" in out and not stage.state()["buckets"], out


@case
def gcloud_takes_each_command(stage, _given):
    """gcloud's own parser reads all that the scripts run, and its tree has what the stand-in takes."""
    if tree.place() is None:
        raise Skip("no gcloud on PATH")
    root = pathlib.Path(shutil.which("gcloud")).resolve().parent.parent
    python = root / "platform/bundledpythonunix/bin/python3"
    commands = []
    for script in GIVEN:
        stage.reset()
        for more in ([], ["--undo"]):
            succeeded(stage.run(script, *more))
            commands += [argv for argv in stage.clouds.calls if argv[0] == "gcloud" and argv not in commands]
    assert len(commands) > 30, commands
    command = [python if python.exists() else "python3", str(HERE / "parse.py"), str(root / "lib")]
    environment = dict(os.environ, CLOUDSDK_CONFIG=str(stage.cwd / "gcloud"))
    done = subprocess.run(
        command, input=json.dumps(commands), capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr[-800:]
    checked = subprocess.run(
        [sys.executable, str(HERE / "tree.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@case
def the_file_is_as_gcloud_writes_it(stage, _given):
    if tree.place() is None:
        raise Skip("no gcloud on PATH")
    stage.reset()
    succeeded(stage.run(TO_GOOGLE))
    (argv,) = [it for it in stage.clouds.calls if "create-cred-config" in it]
    ours = json.loads((stage.cwd / "google.json").read_text())
    environment = dict(os.environ, CLOUDSDK_CONFIG=str(stage.cwd / "gcloud"))
    subprocess.run(argv, env=environment, cwd=stage.cwd, check=True, capture_output=True, timeout=120)
    assert json.loads((stage.cwd / "google.json").read_text()) == ours


def bad_input(row):
    def check(stage, _given):
        stage.reset()
        if row.before:
            row.before(stage.clouds)
        before = stage.state()
        done = stage.run(row.script, *row.more, given=row.given)
        assert done.returncode == row.code, (done.returncode, done.stderr)
        for part in row.says:
            assert part in done.stderr + done.stdout, f"no {part!r} in {done.stderr}{done.stdout[-300:]}"
        assert "Traceback" not in done.stderr, done.stderr
        assert row.code == 2 or done.stderr.count("\n") <= 3, done.stderr
        if row.changes_nothing:
            assert stage.state() == before
        if row.after:
            row.after(stage)

    return check


def run_case(name, given):
    """How it went, and the line that says so."""
    global its_stage
    try:
        its_stage = its_stage or Stage(given.real_aws)
        CASES[name](its_stage, given)
    except Skip as skip:
        return "skipped", f"SKIP grants: {name}: {skip}"
    except Exception:  # noqa: BLE001
        return "failed", f"FAILED {name}\n{traceback.format_exc()}"
    return "passed", f"ok   {name}"


# Each process has clouds of its own.
its_stage = None


def main():
    parser = argparse.ArgumentParser()
    for name in ("fedboot", "sandbox", "real-aws"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    CASES.update({f"bad input: {row.name}": bad_input(row) for row in ROWS})
    names = [name for name in CASES if not given.names or any(part in name for part in given.names)]
    # The long ones first.
    names.sort(key=lambda name: not name.startswith("an interruption"))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    processes = concurrent.futures.ProcessPoolExecutor(max_workers=2, mp_context=multiprocessing.get_context("fork"))
    with processes:
        for done in concurrent.futures.as_completed(processes.submit(run_case, name, given) for name in names):
            outcome, line = done.result()
            counts[outcome] += 1
            print(line, flush=True)
            if outcome == "skipped" and (kept := os.environ.get("FEDBOOT_SKIPS")):
                with open(kept, "a") as file:
                    file.write(f"{line}\n")
    print("grants: " + ", ".join(f"{number} {outcome}" for outcome, number in counts.items()))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


main()
