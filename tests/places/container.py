"""Starts one container as a container engine does, and becomes it: a root file system of its own, process 1 of a pid
namespace, user, groups, capabilities and mounts as asked for. The network is the caller's, as the pod's containers share it.

    container.py run  < SPECIFICATION     writes the pid of process 1 to the file that is named there; ends as it ends
    container.py exec < SPECIFICATION     a command in a container that runs, as `kubectl exec` and probes do it

The root file system is made by the stand-in for docker that Beam's tests use.
"""

import ctypes
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import signal
import socket
import sys

ENGINE = pathlib.Path(__file__).resolve().parent.parent / "beam/bin/docker"

CLONE_NEWUTS, CLONE_NEWIPC = 0x04000000, 0x08000000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
# What containerd and docker leave to root, by the numbers of <linux/capability.h>.
CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
ALL_CAPABILITIES = {**CAPABILITIES, "NET_ADMIN": 12, "SYS_ADMIN": 21}


def engine():
    loader = importlib.machinery.SourceFileLoader("engine", str(ENGINE))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("engine", loader))
    loader.exec_module(module)
    return module


def main():
    specification = json.load(sys.stdin)
    docker = engine()
    if sys.argv[1] == "exec":
        enter(docker, specification)
    else:
        flags = docker.CLONE_NEWNS | docker.CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC
        docker.check("unshare", docker.libc.unshare(flags))
    children = []
    # Who asks it to end asks for the end of what it started, and it stays until that is reaped: a namespace does not end
    # while there is a zombie in it.
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGKILL) for child in children])
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            if sys.argv[1] == "run":
                build(docker, specification)
            become(docker, specification)
        except OSError as error:
            os.write(2, f"container: {error}\n".encode())
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    children.append(pid)
    if sys.argv[1] == "run":
        place = pathlib.Path(specification["pid_file"])
        place.with_suffix(".new").write_text(str(pid))
        place.with_suffix(".new").rename(place)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def build(docker, specification):
    os.umask(0o022)
    root = pathlib.Path(specification["root"])
    image = dict(specification["image"], volumes={})
    image["copy"] = {**image.get("copy", {}), "/etc/hosts": specification["hosts"]}
    docker.build(root, image)
    mounts = [*specification["mounts"], {"source": specification["shm"], "target": "/dev/shm"}]
    for mount in sorted(mounts, key=lambda mount: mount["target"]):
        target = root / mount["target"].lstrip("/")
        docker.bind(pathlib.Path(mount["source"]), target, read_only=mount.get("read_only", False))
    (root / specification["directory"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    if specification["read_only"]:
        docker.mount("", root, flags=docker.MS_REMOUNT | docker.MS_RDONLY)
    os.chroot(root)
    socket.sethostname(specification["hostname"])


def enter(docker, specification):
    pid = specification["pid"]
    root = os.open(f"/proc/{pid}/root", os.O_PATH)
    for kind in ("ipc", "uts", "pid", "mnt"):
        namespace = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        docker.check(f"setns {kind}", docker.libc.setns(namespace, 0))
    os.fchdir(root)
    os.chroot(".")


def become(docker, specification):
    os.chdir(specification["directory"])
    left = {ALL_CAPABILITIES[name] for name in specification["capabilities"]}
    for number in range(int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        if number not in left:
            docker.check("capabilities", docker.libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0))
    os.setgroups(specification["groups"])
    os.setresgid(*[specification["group"]] * 3)
    os.setresuid(*[specification["user"]] * 3)
    if specification["no_new_privileges"]:
        docker.check("no new privileges", docker.libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0))
    # Python ignores these two, and exec would hand that on.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvpe(specification["command"][0], specification["command"], specification["environment"])


if __name__ == "__main__":
    main()
