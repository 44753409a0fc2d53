"""Writes a wheel again without the directory in which it was built.

    without_paths.py WHEEL ROOT NEW_WHEEL

maturin's bill of materials names the crates of a workspace by where they lie (`path+file:///home/me/fedboot#0.1.0`), so two
checkouts would make two wheels. In the new wheel ROOT is `/fedboot`; its RECORD says so, and all else is the same, dates
and modes too.
"""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote


def main(wheel: str, root: str, new_wheel: str) -> None:
    # As the bill of materials writes it, where it is (part of) a URL.
    local = {form.encode(): b"file:///fedboot" for form in (f"file://{quote(root)}", f"file://{root}")}
    changed: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(new_wheel, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if "/sboms/" in member.filename:
                for found, instead in local.items():
                    content = content.replace(found, instead)
                changed[member.filename] = content
            elif member.filename.endswith(".dist-info/RECORD"):
                # It is the last of a wheel's files.
                content = record(content.decode(), changed).encode()
            new.writestr(member, content)
    if root.encode() in b"".join(changed.values()):
        Path(new_wheel).unlink()
        sys.exit(f"{root} is still named in {', '.join(changed)}")


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
