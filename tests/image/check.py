"""What tests/image/run asserts.

files             Dockerfile and cloudbuild.yaml agree with each other and with the sources
cloud-build-step  prints the arguments with which cloudbuild.yaml has docker build, substituted
start DIRECTORY   starts the exported images in there; the environment names the sandbox's clouds
smoke DIRECTORY   does with them what cloudbuild.yaml does before it pushes
"""

import argparse
import json
import os
import re
import stat
import struct
import subprocess
import sys
import tomllib
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from shutil import copyfile

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ["fedboot", "--", "/opt/apache/beam/boot"]
BINARY = Path("usr/local/bin/fedboot")
EMULATED = {"amd64": "x86_64", "arm64": "aarch64"}
ELF_MACHINES = {"amd64": 62, "arm64": 183}
PT_INTERP = 3
# Of every file, so that the same sources make the same layer: 1980, which all kinds of archives can hold.
OLDEST = 315532800
# What tests/image/run gives as an argument, and where to find what an image is made of.
LABELLED = {"title": "fedboot", "revision": "of-the-test", "source": "https://github.com/fedboot/fedboot"}
# What Cargo.toml calls otherwise than a container image does.
LABELS = {"version": "version", "repository": "source", "license": "licenses"}
HERE = next(name for name, machine in EMULATED.items() if machine == os.uname().machine)
# Design §3: what the command gets, and what stays away from it.
DELIVERED = {
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SHARED_CREDENTIALS_FILE",
}
SHADOWS = {"AWS_ACCESS_KEY_ID": "AKIAINHERITED", "AWS_SECRET_ACCESS_KEY": "inherited", "AWS_DEFAULT_PROFILE": "other"}
# What Beam's container contract appends, and what a careless wrapper would change.
ARGUMENTS = [
    b"--id=1-1",
    b"--provision_endpoint=localhost:12371",
    b"--semi_persist_dir=/var/opt/google",
    b"--",
    b"",
    b"two  words, $HOME 'and' \"quotes\"",
    "Zürich".encode(),
    b"not UTF-8: \xff\xfe",
]


def main(command: str, *arguments: str) -> None:
    match command, arguments:
        case "files", ():
            check_files()
        case "cloud-build-step", substitutions:
            print("\n".join(cloud_build_step("build", dict(pair.split("=", 1) for pair in substitutions))))
        case "start", (directory,):
            check_images(Path(directory))
        case "smoke", (directory,):
            check_smoke(Path(directory))
        case _:
            sys.exit(__doc__)


# Files


def check_files() -> None:
    build = cloud_build()
    used = set(re.findall(r"\$\{(_[A-Z_]+)\}", json.dumps(build)))
    equal("cloudbuild.yaml: substitutions", used, {"_BASE_IMAGE", "_IMAGE_URI", "_LOGS_DIR"})
    substituted = cloud_build_step("build", {"_BASE_IMAGE": "BASE", "_IMAGE_URI": "IMAGE"})
    equal("cloudbuild.yaml: docker command", substituted[0], "build")
    dockerfile = (ROOT / "Dockerfile").read_text()
    for argument in (word for word in substituted if word.endswith("=BASE")):
        true("cloudbuild.yaml: build argument", f"ARG {argument.removesuffix('BASE')}" in dockerfile)

    last_stage = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[-1]
    instructions = re.findall(r"^([A-Z]+) ", last_stage, flags=re.MULTILINE)
    equal("Dockerfile: last stage", instructions, ["COPY", "ENTRYPOINT"])
    equal(
        "Dockerfile: its comment's entrypoint",
        dockerfile.count("ENTRYPOINT " + json.dumps(ENTRYPOINT, separators=(",", ":"))),
        2,
    )
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', dockerfile))
    for name in ("version", "repository", "license"):
        told = manifest["package"][name] if name != "license" else manifest["workspace"]["package"]["license"]
        equal(f"Dockerfile: label for {name}", labels[LABELS[name]], told)
    oldest = manifest["workspace"]["package"]["rust-version"]
    (tag,) = re.findall(r"^ARG BUILD_IMAGE=\S*/rust:([0-9.]+)-", dockerfile, re.MULTILINE)
    true(f"Dockerfile: Rust {tag} is older than {oldest}", version(tag) >= version(oldest))
    print("ok files")


def version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def cloud_build() -> dict:
    return YAML(typ="safe").load(ROOT / "cloudbuild.yaml")


def cloud_build_step(name: str, substitutions: dict[str, str]) -> list[str]:
    (step,) = [step for step in cloud_build()["steps"] if step["id"] == name]
    return [re.sub(r"\$\{(_[A-Z_]+)\}", lambda match: substitutions[match[1]], word) for word in step["args"]]


# Images


@dataclass
class Image:
    name: str
    rootfs: Path
    architecture: str
    config: dict

    @classmethod
    def load(cls, directory: Path) -> "Image":
        image = json.loads((directory / "image.json").read_text())["OCIv1"]
        name = "/".join(directory.parts[-2:])
        return cls(name, directory / "rootfs", image["architecture"], image["config"])

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.config.get("Env", []))

    def user(self) -> int:
        return int(self.config.get("User", "0").split(":")[0] or 0)

    def home(self) -> str:
        """As a container runtime sets it: from the image's passwd, and / where it has none."""
        passwd = self.rootfs / "etc/passwd"
        lines = passwd.read_text().splitlines() if passwd.exists() else []
        return next((line.split(":")[5] for line in lines if int(line.split(":")[2]) == self.user()), "/")

    def files(self) -> dict[str, tuple]:
        return dict(self._files())

    def _files(self) -> Iterator[tuple[str, tuple]]:
        for path in sorted(self.rootfs.rglob("*")):
            status = path.lstat()
            content = sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else None
            yield str(path.relative_to(self.rootfs)), (stat.filemode(status.st_mode), status.st_uid, content)


@dataclass
class Outcome:
    """What a container did, as its boot tells it."""

    code: int
    errors: str
    said: dict[str, list[bytes]] = field(default_factory=dict)

    def one(self, name: str) -> bytes:
        (value,) = self.said[name]
        return value


def check_images(directory: Path) -> None:
    digests = {path.name: check_binary(Image.load(path)) for path in sorted((directory / "binary").iterdir())}
    for kind in ("go", "python", "java"):
        base, out = Image.load(directory / kind / "base"), Image.load(directory / kind / "out")
        check_contents(base, out, digests[HERE])
        check_start(out)
        check_refusal(out)
    launcher = Image.load(directory / "launcher/out")
    check_launcher(Image.load(directory / "launcher/base"), launcher)
    check_start(launcher)


def check_binary(image: Image) -> str:
    """The image of the binary alone: one file, executable by everybody, static, of its architecture."""
    files = image.files()
    equal(f"{image.name}: files", list(files), [str(path) for path in [*reversed(BINARY.parents[:-1]), BINARY]])
    mode, owner, digest = files[str(BINARY)]
    equal(f"{image.name}: mode and owner", (mode, owner), ("-rwxr-xr-x", 0))
    path = image.rootfs / BINARY
    equal(f"{image.name}: date", path.stat().st_mtime, OLDEST)
    told = image.config["Labels"]
    equal(f"{image.name}: labels", {name: told.get(f"org.opencontainers.image.{name}") for name in LABELLED}, LABELLED)
    elf = path.read_bytes()
    (machine,) = struct.unpack_from("<H", elf, 18)
    equal(f"{image.name}: architecture of the image", image.architecture, image.rootfs.parent.name)
    equal(f"{image.name}: architecture of the binary", machine, ELF_MACHINES[image.architecture])
    (headers,), (size, count) = struct.unpack_from("<Q", elf, 32), struct.unpack_from("<HH", elf, 54)
    kinds = {struct.unpack_from("<I", elf, headers + size * index)[0] for index in range(count)}
    true(f"{image.name}: no program interpreter, so static", PT_INTERP not in kinds)
    emulator = [] if image.architecture == HERE else [f"qemu-{EMULATED[image.architecture]}-static"]
    told = subprocess.run([*emulator, path, "--version"], capture_output=True, text=True, check=False)
    true(f"{image.name}: --version\n{told}", told.returncode == 0 and told.stdout.startswith("fedboot "))
    print(f"ok {image.name}: {told.stdout.strip()}, {len(elf):,} bytes, static")
    return digest


def check_contents(base: Image, out: Image, binary: str) -> None:
    """Nothing is baked in: but for one file and the entrypoint, the image is its base."""
    before, after = base.files(), out.files()
    added = {path: value for path, value in after.items() if path not in before}
    equal(f"{out.name}: the binary", added.pop(str(BINARY)), ("-rwxr-xr-x", 0, binary))
    equal(f"{out.name}: added", set(added) - {str(path) for path in BINARY.parents}, set())
    equal(f"{out.name}: changed", [path for path, value in before.items() if after.get(path) != value], [])
    equal(f"{out.name}: entrypoint", out.config["Entrypoint"], ENTRYPOINT)
    # Or the base's default command, python3 for Python, would reach boot as an argument.
    equal(f"{out.name}: command", out.config.get("Cmd") or [], [])
    # Buildah signs its work; nothing else of the configuration may differ.
    own = ("Entrypoint", "Cmd", "Labels")
    configs = [{key: value for key, value in image.config.items() if key not in own} for image in (base, out)]
    equal(f"{out.name}: configuration", configs[1], configs[0])
    equal(f"{out.name}: labels", set(out.config.get("Labels") or {}) - {"io.buildah.version"}, set())


def check_launcher(base: Image, out: Image) -> None:
    """The Flex Template: the launcher's image, but for the pipeline and what stands at the launcher's path."""
    before, after = base.files(), out.files()
    changed = {path for path, value in after.items() if before.get(path) != value and (out.rootfs / path).is_file()}
    path = base.config["Entrypoint"][0].lstrip("/")
    equal(f"{out.name}: files", changed, {str(BINARY), "template/pipeline.py", path, f"{path}.google"})
    equal(f"{out.name}: the launcher itself", after[f"{path}.google"], before[path])
    equal(f"{out.name}: entrypoint", out.config["Entrypoint"], base.config["Entrypoint"])
    equal(f"{out.name}: pipeline", out.environment()["FLEX_TEMPLATE_PYTHON_PY_FILE"], "/template/pipeline.py")
    print(f"ok {out.name}")


def check_smoke(directory: Path) -> None:
    """cloudbuild.yaml lets good images pass, and says of a bad one what is wrong with it."""
    for kind in ("go", "python", "java"):
        image = Image.load(directory / kind / "out")
        for name, done in smoke(image):
            equal(f"{image.name}: {name}\n{done.stdout}{done.stderr}", done.returncode, 0)
        print(f"ok {image.name}: pushed")

    image = Image.load(directory / "empty/out")
    boot = image.rootfs / ENTRYPOINT[-1].lstrip("/")
    other = next(name for name in ELF_MACHINES if name != HERE)
    foreign = directory / "binary" / other / "rootfs" / BINARY
    refused(image, "/opt/apache/beam/boot does not exist [FB011]")
    boot.parent.mkdir(parents=True)
    boot.write_text("#!/no/such/shell\n")
    refused(image, "/opt/apache/beam/boot has no execute permission [FB012]")
    boot.chmod(0o755)
    refused(image, "/no/such/shell")
    if foreign.exists():
        copyfile(foreign, boot)
        refused(image, "/opt/apache/beam/boot")


def refused(image: Image, reason: str) -> None:
    (_, version), (_, boot) = smoke(image)
    equal(f"{image.name}: --version\n{version.stderr}", version.returncode, 0)
    true(f"{image.name}: should not be pushed\n{boot.stdout}", boot.returncode == 2)
    line = boot.stdout.splitlines()[0]
    true(f"{image.name}: first line {line!r} without {reason!r}", line.startswith("failure ") and reason in line)
    print(f"ok {image.name}: not pushed: {line}")


def smoke(image: Image) -> Iterator[tuple[str, subprocess.CompletedProcess[str]]]:
    """Each step of cloudbuild.yaml that runs the image, with docker's own options in bwrap's words."""
    for step in cloud_build()["steps"]:
        if step["args"][0] != "run":
            continue
        options, words = argparse.ArgumentParser(), cloud_build_step(step["id"], {"_IMAGE_URI": "IMAGE"})
        options.add_argument("--rm", action="store_true", required=True)
        options.add_argument("--network", choices=["none"], required=True)
        options.add_argument("--entrypoint", required=True)
        options.add_argument("image", choices=["IMAGE"])
        options.add_argument("words", nargs=argparse.REMAINDER)
        given = options.parse_args(words[1:])
        done = contain(image, {}, [given.entrypoint, *given.words], "--unshare-net")
        told = (done.stdout.decode(), done.stderr.decode())
        yield step["id"], subprocess.CompletedProcess(done.args, done.returncode, *told)


def check_start(image: Image) -> None:
    given = clouds(image)
    outcome = start(image, given | SHADOWS, [*ARGUMENTS, b"--exit-code=7"])
    where = f"{image.name}: started"
    equal(f"{where}: exit code\n{outcome.errors}", outcome.code, 7)
    equal(
        f"{where}: pid, user, directory",
        [outcome.one(name) for name in ("pid", "uid", "directory")],
        [b"1", b"%d" % image.user(), (image.config.get("WorkingDir") or "/").encode()],
    )
    equal(f"{where}: arguments", outcome.said["argument"], [*ARGUMENTS, b"--exit-code=7"])

    variables = dict(line.decode().split("=", 1) for line in outcome.said["variable"])
    # bwrap sets PWD; a container runtime does not.
    as_without = image.environment() | {"HOME": image.home(), "PWD": outcome.one("directory").decode()} | given
    changed = {name for name in variables.keys() | as_without.keys() if variables.get(name) != as_without.get(name)}
    true(f"{where}: environment {sorted(changed)}", changed <= DELIVERED)
    missing = DELIVERED - variables.keys()
    equal(f"{where}: delivered, but missing", missing, set())
    equal(f"{where}: profile", variables["AWS_PROFILE"], "fedboot")

    home = image.home().rstrip("/")
    equal(f"{where}: file", variables["AWS_SHARED_CREDENTIALS_FILE"], f"{home}/.aws/credentials")
    equal(f"{where}: its mode and owner", outcome.one("file"), b"600 %d" % image.user())
    expected = [b"[default]", b"aws_secret_access_key", b"aws_session_token", b"x_security_token_expires", b"[fedboot]"]
    equal(f"{where}: its parts", [line for line in outcome.said["file-has"] if line in expected], expected)
    equal(f"{where}: the endpoint", outcome.one("endpoint"), b"HTTP/1.1 200 OK")
    equal(f"{where}: its answer", outcome.said["endpoint-has"], [b"SecretAccessKey", b"Token", b"Expiration"])
    equal(f"{where}: its key, and the file's", outcome.one("endpoint-key-id"), outcome.one("file-key-id"))
    true(f"{where}: guard and agent stay behind", len(outcome.said["process"]) == 3)
    print(f"ok {where} with {outcome.one('endpoint-key-id').decode()}")


def check_refusal(image: Image) -> None:
    """Without a role nothing of the image runs, and the reason is told."""
    given = {name: value for name, value in clouds(image).items() if name != "FEDBOOT_ROLE_ARN"}
    outcome = start(image, given, [])
    where = f"{image.name}: without a role"
    equal(f"{where}: exit code", outcome.code, 125)
    equal(f"{where}: boot", outcome.said, {})
    true(f"{where}: the reason\n{outcome.errors}", "role" in outcome.errors.lower())
    print(f"ok {where}")


def clouds(image: Image) -> dict[str, str]:
    """Where the sandbox's clouds are, and no more of this machine; its certificate as a file in the container."""
    names = ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_STS", "FEDBOOT_ROLE_ARN", "GCE_METADATA_HOST")
    found = {name: os.environ[name] for name in names if name in os.environ}
    if bundle := found.get("AWS_CA_BUNDLE"):
        found["AWS_CA_BUNDLE"] = "/sandbox.pem"
        copyfile(bundle, image.rootfs / "sandbox.pem")
    return found


def start(image: Image, environment: dict[str, str], arguments: list[bytes]) -> Outcome:
    """Runs the image's own entrypoint and command."""
    command = [*image.config["Entrypoint"], *(image.config.get("Cmd") or []), *arguments]
    done = contain(image, environment, command)
    outcome = Outcome(done.returncode, done.stderr.decode(errors="replace"))
    for line in done.stdout.splitlines():
        name, value = line.decode().split("\t", 1)
        outcome.said.setdefault(name, []).append(literal_eval(f"b'{value}'"))
    return outcome


def contain(
    image: Image, environment: dict[str, str], words: list[str | bytes], *options: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs that command in the image, as its own user, with what every container runtime provides: /dev, /proc, a host
    name, HOME. The network stays this machine's, where the sandbox listens on loopback, unless the options say else."""
    for mount_point in ("dev", "proc"):
        (image.rootfs / mount_point).mkdir(exist_ok=True)
    command: list[str | bytes] = [
        "bwrap",
        "--die-with-parent",
        "--unshare-pid",
        "--as-pid-1",
        "--unshare-ipc",
        "--unshare-uts",
        "--hostname",
        "beam-worker-0",
        *options,
        "--bind",
        str(image.rootfs),
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--chdir",
        image.config.get("WorkingDir") or "/",
        "--clearenv",
    ]
    for name, value in (image.environment() | {"HOME": image.home()} | environment).items():
        command += ["--setenv", name, value]
    if user := image.user():
        identity = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        command[:1] = ["setpriv", *identity, "bwrap", "--unshare-user", "--uid", str(user), "--gid", str(user)]
    command += ["--", *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def equal(what: str, found: object, expected: object) -> None:
    true(f"{what}\n    found:    {found!r}\n    expected: {expected!r}", found == expected)


def true(what: str, holds: bool) -> None:
    if not holds:
        sys.exit(f"FAILED {what}")


if __name__ == "__main__":
    main(*(sys.argv[1:] or [""]))
