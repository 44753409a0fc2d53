"""gcloud's own tree of verbs and flags, as it completes them on a command line; the part that the scripts use is gcloud.json.

tree.py           writes gcloud.json from the gcloud on PATH
tree.py --check   says whether it is current
"""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
EXTRACT = HERE / "gcloud.json"
USED = """
artifacts packages list|artifacts repositories add-iam-policy-binding|artifacts repositories create|artifacts repositories delete
artifacts repositories describe|artifacts repositories get-iam-policy|artifacts repositories remove-iam-policy-binding
builds submit|compute project-info add-metadata|compute project-info describe|compute project-info remove-metadata
iam service-accounts add-iam-policy-binding|iam service-accounts create|iam service-accounts delete
iam service-accounts describe|iam service-accounts enable|iam service-accounts get-iam-policy
iam service-accounts list|iam service-accounts remove-iam-policy-binding
iam workload-identity-pools create|iam workload-identity-pools create-cred-config|iam workload-identity-pools delete
iam workload-identity-pools describe|iam workload-identity-pools undelete
iam workload-identity-pools providers create-aws|iam workload-identity-pools providers delete
iam workload-identity-pools providers describe|iam workload-identity-pools providers undelete
iam workload-identity-pools providers update-aws
projects add-iam-policy-binding|projects describe|projects get-iam-policy|projects list
projects remove-iam-policy-binding|projects undelete|services enable|services list
storage buckets add-iam-policy-binding|storage buckets create|storage buckets delete|storage buckets describe
storage buckets get-iam-policy|storage buckets remove-iam-policy-binding
"""


def place():
    """Where gcloud keeps it, if it is on this machine."""
    program = shutil.which("gcloud")
    if program is None:
        return None
    root = pathlib.Path(program).resolve().parent.parent
    tree = root / "data/cli/gcloud_completions.py"
    return tree if tree.exists() else None


def read(tree):
    """The flags of each verb that is used, and those of all verbs; a flag with a value is true."""
    spec = importlib.util.spec_from_file_location("gcloud_completions", tree)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    top = module.STATIC_COMPLETION_CLI_TREE
    commands = {}
    for verb in USED.replace("\n", "|").split("|"):
        if verb:
            node = top
            for word in verb.split():
                node = node["commands"][word]
            commands[verb] = {flag: kind != "bool" for flag, kind in sorted(node["flags"].items())}
    everywhere = {flag: kind != "bool" for flag, kind in sorted(top["flags"].items())}
    return {"everywhere": everywhere, "commands": commands}


def main():
    tree = place()
    if tree is None:
        sys.exit("no gcloud on PATH whose tree can be read")
    version = json.loads(subprocess.check_output(["gcloud", "version", "--format=json"]))["Google Cloud SDK"]
    found = {"gcloud": version, **read(tree)}
    if sys.argv[1:] == ["--check"]:
        kept = json.loads(EXTRACT.read_text())
        # A flag that came with a later gcloud is no matter, one that is gone or takes another thing is.
        lost = [
            f"{verb} {flag}"
            for verb, flags in [("(all)", kept["everywhere"]), *kept["commands"].items()]
            for flag, has_value in flags.items()
            if (found["everywhere"] if verb == "(all)" else found["commands"][verb]).get(flag) != has_value
        ]
        sys.exit(f"gcloud {version} knows no longer: {', '.join(lost)}" if lost else 0)
    EXTRACT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
