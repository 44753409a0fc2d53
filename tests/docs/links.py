"""Whether links lead somewhere, and whether files that are named are there."""

import re
import urllib.parse

# Folders of this repository: a path between backticks that begins with one is one of its files.
FOLDERS = re.compile(
    r"(?:docs|scripts|tests|examples|src|tools|sandbox|policy|benches|fuzz|completions|packaging)/[\w./-]+"
)


FOR_READERS = r"docs/|examples/|[A-Z]+\.md$"


def problems(pages, files):
    """A line for each link that leads nowhere, and for each page that nothing leads to. `files` are the repository's."""
    places = set(files) | {parent for file in files for parent in parents(file)}
    for file in sorted(set(pages) - reached(pages)):
        if re.match(FOR_READERS, file):
            yield f"{file}: no link leads there from the README, by whatever way"
    for page in pages.values():
        for line, target in page.links():
            if reason := broken(page, target, pages, places):
                yield f"{page.file}:{line}: {target}: {reason}"
        for line, code in page.spans():
            # What has changed may be about files that are gone, and NAME stands for one that is still to be written.
            is_named = FOLDERS.fullmatch(code) and page.file != "CHANGELOG.md" and "NAME" not in code
            if is_named and not is_there(page, code, places):
                yield f"{page.file}:{line}: `{code}`: there is no such file"


def reached(pages):
    """The pages that links lead to from the README, those of folders by their READMEs."""
    found, ahead = set(), ["README.md"]
    while ahead:
        file = ahead.pop()
        if file in pages and file not in found:
            found.add(file)
            for _, target in pages[file].links():
                path, problem = resolved(file, urllib.parse.urlsplit(target).path)
                if not problem:
                    ahead += [path, f"{path}/README.md"]
    return found


def resolved(file, path):
    """The path that a link in `file` leads to, from the root; or why it cannot."""
    if not path:
        return file, None
    parts = file.split("/")[:-1]
    for part in urllib.parse.unquote(path).rstrip("/").split("/"):
        if part == "..":
            if not parts:
                return None, "it leads out of the repository"
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts), None


def parents(file):
    parts = file.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def is_there(page, code, places):
    """From the root or, in the README of a folder, from there."""
    code = code.rstrip("/")
    folder = page.file.rpartition("/")[0]
    return code in places or f"{folder}/{code}" in places


def broken(page, target, pages, places):
    """Why a link leads nowhere."""
    url = urllib.parse.urlsplit(target)
    if url.scheme or url.netloc:
        return outside(url)
    if target.startswith("/"):
        return "a link within the repository is relative"
    file, reason = resolved(page.file, url.path)
    if reason:
        return reason
    if file and file not in places:
        return "there is no such file"
    if not url.fragment:
        return None
    if file not in pages:
        return "an anchor in what is no page"
    return None if url.fragment in set(pages[file].anchors()) else f"{file} has no such heading"


def outside(url):
    if url.scheme != "https":
        return "not https"
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", url.netloc.lower()):
        return "no name of a host"
    return None
