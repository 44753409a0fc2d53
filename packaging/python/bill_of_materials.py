"""Writes a wheel again with a bill of materials that says what the binary is made of, and nothing of where it was built.

    bill_of_materials.py WHEEL ROOT NEW_WHEEL <CRATES

maturin's own names the crates of a workspace by where they lie (`path+file:///home/me/fedboot#0.1.0`), so two checkouts
would make two wheels: in the new one ROOT is `/fedboot`. And it lists crates that only other packages of the workspace ask
for: in the new one those of CRATES are left, lines as `cargo tree --prefix none --format '{p}'` prints them. The new
wheel's RECORD tells of it, and all else is the same, dates and modes too.
"""

import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote


def main(wheel: str, root: str, new_wheel: str) -> None:
    crates = {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, sys.stdin)}
    changed: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(new_wheel, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if "/sboms/" in member.filename:
                content = changed[member.filename] = bill(content.decode(), root, crates).encode()
            elif member.filename.endswith(".dist-info/RECORD"):
                # It is the last of a wheel's files.
                content = record(content.decode(), changed).encode()
            new.writestr(member, content)
    if not changed or root.encode() in b"".join(changed.values()):
        Path(new_wheel).unlink()
        sys.exit(f"{wheel}: no bill of materials, or one that still names {root}")


def bill(text: str, root: str, crates: set[tuple[str, str]]) -> str:
    for url in {f"file://{quote(root)}", f"file://{root}"}:
        text = text.replace(url, "file:///fedboot")
    whole = json.loads(text)
    whole["components"] = [one for one in whole["components"] if (one["name"], one["version"]) in crates]
    subject = whole["metadata"]["component"]["bom-ref"]
    left = {subject} | {one["bom-ref"] for one in whole["components"]}
    whole["dependencies"] = [one for one in whole["dependencies"] if one["ref"] in left]
    for one in whole["dependencies"]:
        if "dependsOn" in one:
            one["dependsOn"] = [other for other in one["dependsOn"] if other in left]
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def record(text: str, changed: dict[str, bytes]) -> str:
    """A RECORD (name, digest, size: PEP 376 and 427) of which some files have changed."""
    lines = []
    for line in text.splitlines():
        name = line.rsplit(",", 2)[0]
        if name in changed:
            digest = base64.urlsafe_b64encode(hashlib.sha256(changed[name]).digest()).rstrip(b"=").decode()
            line = f"{name},sha256={digest},{len(changed[name])}"
        lines.append(line + "\n")
    return "".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
