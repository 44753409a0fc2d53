"""Runs Pulumi programs with Pulumi's own mocks, and prints what each would make, as JSON; no cloud and no engine is asked.

Each line of stdin is a list of runs, each with the directory of a `program` and its `config`; it is answered by a line.
"""

import asyncio
import json
import pathlib
import runpy
import sys

import pulumi
import yaml

# What the clouds would answer; the tests know these.
UNIQUE_ID = "117739419398126000111"
PROJECT_NUMBER = "739419398126"


class Mocks(pulumi.runtime.Mocks):
    def __init__(self):
        self.resources = []

    def new_resource(self, args):
        inputs = dict(args.inputs)
        self.resources.append({"type": args.typ, "name": args.name, "inputs": plain(inputs), "provider": args.provider})
        return f"{args.name}-id", inputs | self.answers(args.typ, inputs)

    def answers(self, kind, inputs):
        """What the cloud says of it besides what it was told."""
        if kind == "gcp:serviceaccount/account:Account":
            email = f"{inputs['accountId']}@{inputs['project']}.iam.gserviceaccount.com"
            name = f"projects/{inputs['project']}/serviceAccounts/{email}"
            return {"email": email, "name": name, "uniqueId": UNIQUE_ID}
        if kind == "gcp:iam/workloadIdentityPool:WorkloadIdentityPool":
            pool = inputs["workloadIdentityPoolId"]
            return {"name": f"projects/{PROJECT_NUMBER}/locations/global/workloadIdentityPools/{pool}"}
        if kind == "aws:iam/role:Role":
            [provider] = [it for it in self.resources if it["type"] == "pulumi:providers:aws"]
            [account] = json.loads(provider["inputs"]["allowedAccountIds"])
            return {"arn": f"arn:aws:iam::{account}:role/{inputs['name']}"}
        return {}

    def call(self, args):
        raise NotImplementedError(f"{args.token} is asked of a cloud")


def plain(value):
    """With the path in place of a file."""
    if isinstance(value, dict):
        return {name: plain(it) for name, it in value.items()}
    if isinstance(value, pulumi.FileAsset):
        return str(value.path)
    return value


def play(program, config):
    project = yaml.safe_load((program / "Pulumi.yaml").read_text())["name"]
    mocks, exports, outputs = Mocks(), {}, []
    pulumi.runtime.set_mocks(mocks, project=project, stack="test", preview=False)
    pulumi.runtime.set_all_config({f"{project}:{name}": value for name, value in config.items()})
    pulumi.export = exports.__setitem__

    @pulumi.runtime.test
    def whole():
        runpy.run_path(str(program / "__main__.py"), run_name="__main__")
        return pulumi.Output.all(**exports).apply(outputs.append)

    try:
        whole()
    except (pulumi.RunError, pulumi.ConfigMissingError) as wrong:
        return {"error": str(wrong)}
    return {"resources": mocks.resources, "outputs": outputs[0]}


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())
    for line in sys.stdin:
        runs = json.loads(line)
        print(json.dumps([play(pathlib.Path(it["program"]).resolve(), it["config"]) for it in runs]), flush=True)
