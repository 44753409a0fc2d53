"""What tests/packages/run asserts.

    check.py [--lintian] FIRST SECOND

FIRST and SECOND hold the packages of two builds. The environment names the sandbox's clouds.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import parse_wheel_filename

from packaging import _manylinux, _musllinux, tags

ROOT = Path(__file__).resolve().parents[2]
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
CARGO_HOME = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
# What each architecture is called by Debian, Python and ELF.
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
PT_INTERP = 3
HERE = os.uname().machine
# What a command finds behind fedboot, told by the endpoint itself.
ASK = """
import json, os, urllib.request
answer = json.load(urllib.request.urlopen(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]))
print(os.environ["AWS_PROFILE"], answer["AccessKeyId"], sorted(answer))
"""
passed = 0


def main(*arguments: str) -> None:
    lintian = arguments[:1] == ("--lintian",)
    first, second = (Path(directory) for directory in arguments[lintian:])
    machines = [machine for machine in ELF_MACHINES if list(first.glob(f"*{machine}.whl"))]
    true("this machine's architecture is among the packages", HERE in machines)
    check("two builds have the same bytes", lambda: same_bytes(first, second, 2 * len(machines)))
    for machine in machines:
        wheel, deb = next(first.glob(f"*{machine}.whl")), next(first.glob(f"*_{DEBIAN[machine]}.deb"))
        check(
            f"{machine}: one binary in both, for it, static, which runs",
            lambda w=wheel, d=deb, m=machine: one_binary(w, d, m),
        )
        check(f"{machine}: no path of this machine", lambda w=wheel, d=deb: no_paths(w, d))
        check(f"{machine}: the wheel's RECORD", lambda w=wheel: wheel_record(w))
        check(f"{machine}: the wheel's tags, on glibc and musl", lambda w=wheel, m=machine: wheel_tags(w, m))
        check(f"{machine}: the bill of materials", lambda w=wheel, d=deb, m=machine: bill_of_materials(w, d, m))
        check(f"{machine}: what the Debian package holds", lambda d=deb: deb_contents(d))
        check(f"{machine}: Debian package installed and removed", lambda d=deb, m=machine: deb_installed(d, m))
        if lintian:
            check(f"{machine}: lintian", lambda d=deb: run("lintian", "--fail-on", "error,warning", "--allow-root", d))
    check("wheel installed and removed, by the words of the recipe", lambda: wheel_installed(first))
    check("a Python of another architecture refuses the wheel", lambda: wheel_refused(first))
    print(f"packages: {passed} passed, 0 failed, 0 skipped")


def check(what: str, body: Callable[[], None]) -> None:
    global passed
    try:
        body()
    except AssertionError as error:
        sys.exit(f"FAILED {what}: {error}")
    passed += 1
    print(f"ok {what}")


def same_bytes(first: Path, second: Path, count: int) -> None:
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
        for place in (first, second)
    ]
    equal("packages", len(digests[0]), count)
    equal("their digests", digests[1], digests[0])


def one_binary(wheel: Path, deb: Path, machine: str) -> None:
    target = f"{machine}-unknown-linux-musl"
    built = Path(run(ROOT / "packaging/binary", target).strip()).read_bytes()
    script = f"fedboot-{CARGO['version']}.data/scripts/fedboot"
    with zipfile.ZipFile(wheel) as archive:
        # pip makes every script executable; other installers take the mode as it is.
        equal("mode in the wheel", oct(archive.getinfo(script).external_attr >> 16 & 0o777), "0o755")
        equal("the wheel's is what packaging/binary built", archive.read(script) == built, True)
    equal("the Debian package's, too", dict(deb_files(deb))["usr/bin/fedboot"] == built, True)
    equal("machine", struct.unpack_from("<H", built, 18)[0], ELF_MACHINES[machine])
    (headers,), (size, count) = struct.unpack_from("<Q", built, 32), struct.unpack_from("<HH", built, 54)
    kinds = {struct.unpack_from("<I", built, headers + size * index)[0] for index in range(count)}
    true("no program interpreter", PT_INTERP not in kinds)
    with tempfile.TemporaryDirectory() as place:
        binary = Path(place, "fedboot")
        binary.write_bytes(built)
        binary.chmod(0o755)
        emulator = [] if machine == HERE else [f"qemu-{machine}-static"]
        equal("it says", run(*emulator, binary, "--version").strip(), f"fedboot {CARGO['version']}")


def no_paths(wheel: Path, deb: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()] + list(deb_files(deb))
    for name, content in files:
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        for path in (ROOT, CARGO_HOME, Path.home() / ".rustup"):
            # A name like /src stands in the paths of all crates.
            true(f"{path} stands in {name}", len(path.parts) < 3 or bytes(path) not in content)


def wheel_record(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (record,) = [name for name in names if name.endswith(".dist-info/RECORD")]
        lines = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
        equal("its names", sorted(name for name, _, _ in lines), sorted(names))
        for name, digest, size in lines:
            if name != record:
                content = archive.read(name)
                found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                equal(name, (f"sha256={found}", str(len(content))), (digest, size))


def wheel_tags(wheel: Path, machine: str) -> None:
    """By the very lists that pip goes through: what it takes on Debian and on Alpine, for the oldest and a new Python."""
    *_, offered = parse_wheel_filename(wheel.name)
    with patch.object(_musllinux, "_get_musl_version", lambda _: _musllinux._MuslVersion(1, 2)):
        alpine = list(_musllinux.platform_tags([machine]))
    with patch.object(_manylinux, "_get_glibc_version", lambda: (2, 36)):
        debian = list(_manylinux.platform_tags([machine]))
    true(
        "there are lists to compare with",
        f"musllinux_1_1_{machine}" in alpine and f"manylinux_2_17_{machine}" in debian,
    )
    for platforms in (alpine, debian):
        for python in ((3, 8), (3, 12), (3, 14)):
            taken = set(tags.compatible_tags(python, platforms=platforms))
            true(f"Python {python} would not take {wheel.name} on {platforms[0]}", bool(offered & taken))
    (other,) = ELF_MACHINES.keys() - {machine}
    true("only its own machine takes it", not any(other in tag.platform for tag in offered))


def bill_of_materials(wheel: Path, deb: Path, machine: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if "/sboms/" in name]
        text = archive.read(name).decode()
    equal(
        "that of the Debian package",
        dict(deb_files(deb))["usr/share/doc/fedboot/sbom.cdx.json"].decode().strip(),
        text.strip(),
    )
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    true(f"CycloneDX: {error}", error is None)
    bill = json.loads(text)
    equal(
        "its subject",
        (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]),
        ("fedboot", CARGO["version"]),
    )
    listed = {(component["name"], component["version"]) for component in bill["components"]}

    def tree(edges: str) -> set[tuple[str, str]]:
        words = ("--target", f"{machine}-unknown-linux-musl", "--edges", edges, "--prefix", "none", "--format", "{p}")
        lines = run("cargo", "tree", "--locked", "--package", "fedboot", *words).splitlines()
        return {(line.split()[0], line.split()[1].removeprefix("v")) for line in lines} - {
            ("fedboot", CARGO["version"])
        }

    equal("compiled in, but not listed", tree("normal,no-proc-macro") - listed, set())
    equal("listed, but neither compiled in nor a tool of the build", listed - tree("normal,build"), set())


def deb_files(deb: Path) -> Iterator[tuple[str, bytes]]:
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            equal(f"{member.name}: owner", (member.uid, member.gid), (0, 0))
            expected = 0o755 if member.isdir() or member.name == "./usr/bin/fedboot" else 0o644
            equal(f"{member.name}: mode", oct(member.mode), oct(expected))
            if member.isfile():
                yield member.name.removeprefix("./"), archive.extractfile(member).read()


def deb_contents(deb: Path) -> None:
    files = dict(deb_files(deb))
    for page in (ROOT / "docs/man").glob("*.1"):
        equal(page.name, gzip.decompress(files[f"usr/share/man/man1/{page.name}.gz"]), page.read_bytes())
    for name, source in (
        ("bash-completion/completions/fedboot", "fedboot.bash"),
        ("zsh/vendor-completions/_fedboot", "_fedboot"),
        ("fish/vendor_completions.d/fedboot.fish", "fedboot.fish"),
    ):
        equal(name, files[f"usr/share/{name}"], (ROOT / "completions" / source).read_bytes())
    true("the licence's own words", b"Permission is hereby granted" in files["usr/share/doc/fedboot/copyright"])
    # Lintian and dpkg know more; what a person reads is looked at here.
    version, depends = (run("dpkg-deb", "--field", deb, field).strip() for field in ("Version", "Depends"))
    equal("version", version, f"{CARGO['version']}-1")
    equal("it depends on nothing", depends, "")


def deb_installed(deb: Path, machine: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "root")
        (root / "var/lib/dpkg/updates").mkdir(parents=True)
        for name in ("status", "available"):
            (root / "var/lib/dpkg" / name).touch()
        dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-bad-path"]
        if machine != HERE:
            run(*dpkg, "--add-architecture", DEBIAN[machine])
        run(*dpkg, "--install", deb)
        status = run("dpkg-query", f"--root={root}", "--show", "--showformat=${db:Status-Status} ${Version}", "fedboot")
        equal("status", status, f"installed {CARGO['version']}-1")
        equal("dpkg's own verdict on its files", run(*dpkg, "--verify", "fedboot"), "")
        if machine == HERE:
            boots(root / "usr/bin/fedboot")
        run(*dpkg, "--purge", "fedboot")
        left = [path for path in root.rglob("*") if not path.is_relative_to(root / "var") and not path.is_dir()]
        equal("left after purging", left, [])


def wheel_installed(wheels: Path) -> None:
    """In a new venv, with the command of examples/images/wheel/Dockerfile."""
    lines = (ROOT / "examples/images/wheel/Dockerfile").read_text().replace("\\\n", " ").splitlines()
    (command,) = [line for line in lines if line.startswith("RUN ")]
    words = [word for word in shlex.split(command)[1:] if not word.startswith("--mount=")]
    equal("the recipe's program", words[:2], ["pip", "install"])
    with tempfile.TemporaryDirectory() as place:
        environment = Path(place, "a venv")
        venv.create(environment, with_pip=True)
        before = listing(environment)
        pip = [environment / "bin/python", "-m", "pip"]
        run(*pip, *(word.replace("/wheels", str(wheels)) for word in words[1:]), cwd=place)
        run(*pip, "check")
        equal("pip shows", f"Version: {CARGO['version']}\n" in run(*pip, "show", "fedboot"), True)
        boots(environment / "bin/fedboot")
        run(*pip, "uninstall", "--yes", "fedboot")
        equal("left after uninstalling", listing(environment) - before, set())


def wheel_refused(wheels: Path) -> None:
    (other,) = ELF_MACHINES.keys() - {HERE}
    found = list(wheels.glob(f"*{other}.whl"))
    with tempfile.TemporaryDirectory() as place:
        for wheel in found:
            pip = [sys.executable, "-m", "pip", "install", "--no-index", "--target", place, wheel]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            true(done.stderr, done.returncode != 0 and "is not a supported wheel on this platform" in done.stderr)


def listing(place: Path) -> set[Path]:
    return {path.relative_to(place) for path in place.rglob("*") if "__pycache__" not in path.parts}


def boots(binary: Path) -> None:
    """fedboot as it was installed, in front of a command that asks the endpoint, between the sandbox's clouds."""
    true(f"{binary} is executable", shutil.which(binary) is not None)
    with tempfile.TemporaryDirectory() as home:
        environment = {
            name: value for name, value in os.environ.items() if name.startswith(("AWS_", "FEDBOOT_", "GCE_"))
        }
        environment |= {"HOME": home, "PATH": os.defpath}
        equal("version", run(binary, "--version", env=environment).strip(), f"fedboot {CARGO['version']}")
        told = run(binary, "--", sys.executable, "-c", ASK, env=environment).split(maxsplit=2)
        equal("profile", told[0], "fedboot")
        true(f"a key id: {told[1]}", told[1].startswith("ASIA"))
        true(told[2], all(field in told[2] for field in ("SecretAccessKey", "Token", "Expiration")))


def run(*command: str | Path, **options) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, **options
    )
    true(
        f"{shlex.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}",
        done.returncode == 0,
    )
    return done.stdout


def equal(what: str, found: object, expected: object) -> None:
    true(f"{what}\n    found:    {found!r}\n    expected: {expected!r}", found == expected)


def true(what: str, holds: bool) -> None:
    if not holds:
        raise AssertionError(what)


if __name__ == "__main__":
    main(*sys.argv[1:])
