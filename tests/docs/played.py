"""Commands of the documentation that can run here: which, against what, and what must come of it.

What is played stands in the page word for word; the function finds it there, and fails where it is gone.
"""

import concurrent.futures
import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import blocks
import shell

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORKER, BILLING = "arn:aws:iam::123456789012:role/worker", "arn:aws:iam::210987654321:role/billing-reader"
# Of the sandbox's service account.
UNIQUE_ID = "111082598131345883949"


class Skip(Exception):
    """Why something cannot be played here."""


class Stage:
    """A copy of what the commands name, and the programs on PATH."""

    def __init__(self, name, arguments, pages, checkers):
        self.arguments, self.pages, self.checkers = arguments, pages, checkers
        self.place = pathlib.Path(arguments.home) / name
        programs = self.place / "target/debug"
        programs.mkdir(parents=True)
        for folder in ("scripts", "examples"):
            shutil.copytree(ROOT / folder, self.place / folder, symlinks=True)
        (programs / "fedboot").symlink_to(arguments.fedboot)
        (programs / "fedboot-sandbox").symlink_to(arguments.sandbox)
        venv = shlex.quote(arguments.awscli)
        self.program("aws", f'exec {venv}/bin/python {venv}/bin/aws "$@"')
        self.program("python", 'exec python3 "$@"')
        (self.place / "app.py").write_text("print('app')\n")
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        home = self.place / "home"
        home.mkdir()
        self.environment = {**kept, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home)}

    def program(self, name, text):
        path = self.place / "target/debug" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run(self, *words, stdin=""):
        """What COMMAND printed on stdout and on stderr; it must end well."""
        done = subprocess.run(
            words,
            input=stdin,
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr[-600:]}"
        return done.stdout, done.stderr

    def sandbox(self, options, script):
        return self.run("fedboot-sandbox", "--quiet", *options, "--", "bash", "-euc", script)

    def commands(self, page, beginning):
        """The words of the commands of a page that begin so."""
        given = beginning.split()
        scripts = map(blocks.script, self.pages[page].blocks)
        found = [words for script in scripts for words in shell.commands(script) if words[: len(given)] == given]
        assert found, f"{page} has no command that begins with {beginning!r}"
        return found

    def command(self, page, beginning):
        (found,) = self.commands(page, beginning)
        return found

    def line(self, page, line):
        assert line in "".join(map(blocks.script, self.pages[page].blocks)), f"{page} has no {line!r}"
        return line


def a_shell_on_google(stage):
    words = stage.command("README.md", "target/debug/fedboot-sandbox -- target/debug/fedboot")
    said, _ = stage.run(*words, stdin="aws sts get-caller-identity --query Arn --output text\n")
    assert said.startswith("arn:aws:sts::123456789012:assumed-role/fedboot-demo/"), said


def a_shell_on_ecs(stage):
    words = stage.command("README.md", "target/debug/fedboot-sandbox --aws ecs")
    said, _ = stage.run(*words, stdin="fedboot token access\n")
    assert len(said.strip()) > 20, said


def grants_to_aws(stage):
    grants(stage, "scripts/setup-google-to-aws")


def grants_to_google(stage):
    grants(stage, "scripts/setup-aws-to-google")


def grants(stage, script):
    """What the script would run is understood by gcloud and aws, and so is what would undo it."""
    words = stage.command("README.md", script)
    for flags in (["--dry-run"], ["--dry-run", "--undo"]):
        said, _ = stage.run(*words, *flags)
        subprocess.run(["bash", "-n"], input=said, text=True, check=True)
        commands = [one for one in shell.commands(said) if one[0] in ("gcloud", "aws")]
        assert len(commands) > 3, said
        wrong = [problem for one in commands if (problem := stage.checkers.check(one))]
        assert not wrong, wrong


def several_roles(stage):
    words = stage.command("docs/roles.md", "fedboot --role-arn")
    stage.program("app", "for more in '' '--profile=billing'; do aws sts get-caller-identity --query=Arn $more; done")
    said, _ = stage.run("fedboot-sandbox", "--quiet", "--role", WORKER, "--role", BILLING, "--", *words)
    assert "assumed-role/worker/" in said and "210987654321:assumed-role/billing-reader/" in said, said


def a_profile(stage):
    (profile,) = [block.text for block in stage.pages["docs/deliveries.md"].blocks if block.language == "ini"]
    (stage.place / "config").write_text(profile)
    role = re.search(r"--role-arn (\S+)", profile)[1]
    script = "AWS_CONFIG_FILE=config AWS_PROFILE=beam aws sts get-caller-identity --query Arn --output text"
    said, _ = stage.sandbox(["--role", role], script)
    assert "assumed-role/beam-worker/" in said, said


def an_agent_without_a_command(stage):
    line = stage.line("docs/how-it-works.md", 'eval "$(fedboot agent)" || exit')
    script = f'{line}\ntrap "kill $FEDBOOT_AGENT_PID" EXIT\nfedboot status\naws sts get-caller-identity --query Arn'
    said, _ = stage.sandbox([], script)
    assert "assumed-role/fedboot-demo/" in said, said


def a_second_shell(stage):
    line = stage.line("docs/how-it-works.md", 'eval "$(fedboot env)" || exit')
    shown = 'printf "%s\\n" "$AWS_CONTAINER_CREDENTIALS_FULL_URI" "$AWS_PROFILE"'
    (stage.place / "second").write_text(f"{line}\n{shown}\n")
    lost = "env -u AWS_CONTAINER_CREDENTIALS_FULL_URI -u AWS_PROFILE"
    script = f"exec fedboot -- sh -c 'echo $AWS_CONTAINER_CREDENTIALS_FULL_URI; exec {lost} bash -eu second'"
    first, second, profile = stage.sandbox([], script)[0].split()
    assert first == second and profile == "fedboot", (first, second, profile)


def the_trust_policy(stage):
    print_it, check_it = stage.commands("docs/how-it-works.md", "fedboot trust-policy")
    said, _ = stage.sandbox([], " ".join(print_it))
    assert UNIQUE_ID in said and check_it[-2] == "--check", said
    policy = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]
    (stage.place / check_it[-1]).write_text(json.dumps(policy))
    stage.sandbox([], " ".join(check_it))


def the_doctor(stage):
    """Its lines are of checks that the page explains."""
    words = stage.command("docs/doctor.md", "fedboot doctor --role-arn")
    page = stage.pages["docs/doctor.md"].prose
    said, _ = stage.run("fedboot-sandbox", "--quiet", "--role", WORKER, "--", *words)
    checks = {line.split()[1] for line in said.splitlines() if re.match(r"(ok|warning|failure|skipped) ", line)}
    unknown = {check for check in checks - {"summary"} if f"| `{check}` |" not in page}
    assert checks and not unknown, f"{unknown} of {checks}"


def the_role_by_hand(stage):
    """Its trust policy, with the service account's number in it, lets the sandbox's token in and no other."""
    create = stage.command("docs/dataflow.md", "aws iam create-role")
    policy = create[create.index("--assume-role-policy-document") + 1]
    assert "$ID" in policy
    for number, outcome in ((UNIQUE_ID, "in"), ("999", "out")):
        (stage.place / "trust.json").write_text(policy.replace("$ID", number))
        options = ["--role", WORKER, "--trust-policy", "trust.json"]
        said, _ = stage.sandbox(options, f"fedboot --role-arn {WORKER} -- true && echo in || echo out")
        assert said.strip() == outcome, (number, said)


def attributes_of_the_project(stage):
    """What the page sets, and what it says comes of it."""
    options = ["--role", WORKER, "--attribute", "job_id=2026-11-27_00_00_00-1234567890123456789"]
    for words in stage.commands("docs/dataflow.md", "gcloud compute project-info add-metadata"):
        for pair in words[words.index("--metadata") + 1].split(","):
            options += ["--project-attribute", pair]
    _, log = stage.sandbox(options, "unset FEDBOOT_ROLE_ARN; fedboot --log-format json -- true")
    line = json.loads(log)
    assert line["role"] == WORKER and line["session"].startswith("2026-11-27_00_00_00-"), line
    del options[options.index("--attribute") : options.index("--attribute") + 2]
    said, _ = stage.sandbox(options, "unset FEDBOOT_ROLE_ARN; fedboot -- true || echo none")
    assert said.strip() == "none", said


def the_query_of_the_log(stage):
    """It finds a boot and a refusal, whether the line was read as JSON or not."""
    query = stage.command("docs/dataflow.md", "gcloud logging read")[3]
    fields = re.findall(r'([\w.]+)=~"([^"]+)"', query)
    assert len(fields) == 3, query
    script = "fedboot --log-format json -- true"
    lines = [
        stage.sandbox([], script)[1],
        stage.sandbox(["--fault", "sts:error=AccessDenied,always"], f"{script} || true")[1],
    ]
    for line in lines:
        for entry in ({"jsonPayload": json.loads(line)}, {"textPayload": line}, {"jsonPayload": {"message": line}}):
            assert any(re.search(pattern, value_of(entry, name)) for name, pattern in fields), entry
    other = {"jsonPayload": {"message": "Executing: python -m apache_beam.runners.worker.sdk_worker_main"}}
    assert not any(re.search(pattern, value_of(other, name)) for name, pattern in fields)


def the_binding_by_hand(stage):
    """Its member, with the sandbox's pool and role in it, is who the task is."""
    bind = stage.command("docs/aws-to-google.md", "gcloud iam service-accounts add-iam-policy-binding")
    member = bind[bind.index("--member") + 1]
    said, _ = stage.sandbox(["--aws", "ecs"], 'cat "$GOOGLE_APPLICATION_CREDENTIALS"')
    number, pool = re.search(r"projects/(\d+)/locations/global/workloadIdentityPools/([^/]+)/", said).groups()
    for role, outcome in (("fedboot-demo", "in"), ("another", "out")):
        mine = member.replace("NUMBER", number).replace("POOL", pool).replace("ROLE", role)
        options = ["--aws", "ecs", "--workload-identity-user", mine]
        said, _ = stage.sandbox(options, "fedboot token access >/dev/null && echo in || echo out")
        assert said.strip() == outcome, (mine, said)


def a_script_before(stage):
    """The entrypoint that is shown as wrong: an hour of keys if all goes well, the job without any if STS refuses."""
    if missing := [name for name in ("curl", "jq") if not shutil.which(name)]:
        raise Skip(f"there is no {' and no '.join(missing)}")
    (script,) = [
        block.text for block in stage.pages["docs/migration.md"].blocks if block.text.startswith("#!/bin/bash")
    ]
    # There is no such host here, and no Beam: what it starts says which keys it has.
    script = script.replace("metadata.google.internal", "$GCE_METADATA_HOST").replace("'http:", '"http:')
    script = script.replace("audience=sts.amazonaws.com'", 'audience=sts.amazonaws.com"')
    script = script.replace("/opt/apache/beam/boot", "sh -c 'echo boot with \"$AWS_ACCESS_KEY_ID\"'")
    (stage.place / "before").write_text(script)
    options = ["--role", "arn:aws:iam::123456789012:role/beam-worker"]
    said, _ = stage.sandbox(options, "bash before")
    assert said.startswith("boot with ASIA"), said
    said, _ = stage.sandbox([*options, "--fault", "sts:error=AccessDenied,always"], "bash before")
    assert said.strip() == "boot with", said


def a_policy_of_gtoken(stage):
    """It admits fedboot, whether it names the audience or not."""
    page = stage.pages["docs/migration.md"].prose
    (audience,) = re.findall(r"`--audience (gtoken/\S+)`", page)
    document = stage.command("docs/dataflow.md", "aws iam create-role")
    policy = json.loads(document[document.index("--assume-role-policy-document") + 1].replace("$ID", UNIQUE_ID))
    condition = policy["Statement"][0]["Condition"]["StringEquals"]
    for theirs, flag in ((None, ""), (audience, f"--audience {audience}")):
        condition.pop("accounts.google.com:oaud", None)
        if theirs:
            condition["accounts.google.com:oaud"] = theirs
        (stage.place / "trust.json").write_text(json.dumps(policy))
        stage.sandbox(["--role", WORKER, "--trust-policy", "trust.json"], f"fedboot --role-arn {WORKER} {flag} -- true")


def the_picture_of_a_boot(stage):
    """docs/timeline.py still understands what fedboot and the sandbox log; its second part takes a minute, and is not drawn."""
    spec = importlib.util.spec_from_file_location("timeline", ROOT / "docs/timeline.py")
    timeline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(timeline)
    timeline.BOOTS = 1
    parts, _ = timeline.boot(stage.arguments, stage.place, 20)
    drawn, committed = "".join(parts), (ROOT / "docs/timeline.svg").read_text()
    for words in ("credentials are ready", "identity", "AssumeRoleWithWebIdentity", "runs after"):
        assert words in drawn and words in committed, words


def value_of(entry, name):
    for part in name.split("."):
        entry = entry.get(part, "") if isinstance(entry, dict) else ""
    return entry if isinstance(entry, str) else ""


PLAYS = [
    a_shell_on_google,
    a_shell_on_ecs,
    grants_to_aws,
    grants_to_google,
    several_roles,
    a_profile,
    an_agent_without_a_command,
    a_second_shell,
    the_trust_policy,
    the_doctor,
    the_role_by_hand,
    attributes_of_the_project,
    the_query_of_the_log,
    the_binding_by_hand,
    a_script_before,
    a_policy_of_gtoken,
    the_picture_of_a_boot,
]


def all_of(arguments, pages, checkers):
    """Each play's name, what went wrong, and why it could not be played."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda play: outcome(play, arguments, pages, checkers), PLAYS)


def outcome(play, arguments, pages, checkers):
    problem = reason = None
    try:
        play(Stage(play.__name__, arguments, pages, checkers))
    except Skip as error:
        reason = str(error)
    except (AssertionError, ValueError, KeyError, OSError, subprocess.SubprocessError) as error:
        problem = f"{type(error).__name__}: {error}"
    return play.__name__.replace("_", " "), problem, reason
