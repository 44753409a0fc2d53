"""What stands in a Markdown file: headings, links, code."""

import dataclasses
import re

FENCE = re.compile(r"^( *)(```+|~~~+) *([\w+-]*).*$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+(?:\([^()]*\))?)>?(?: \"[^\"]*\")?\)")
AUTOMATIC = re.compile(r"<(https?:[^>\s]*)>")
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)


@dataclasses.dataclass
class Block:
    """A fenced block of code, and the line that its text begins at."""

    file: str
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.file}:{self.line}"


@dataclasses.dataclass
class Page:
    file: str
    # What is no block of code; a line stays a line.
    prose: str
    blocks: list

    def spans(self):
        """Code between backticks, with its line."""
        for match in SPAN.finditer(self.prose):
            yield self.prose.count("\n", 0, match.start()) + 1, " ".join(match[2].split())

    def links(self):
        # A link's text may hold code, and code may look like a link.
        text = SPAN.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), self.prose)
        for pattern in (LINK, AUTOMATIC):
            for match in pattern.finditer(text):
                yield text.count("\n", 0, match.start()) + 1, match[1]

    def anchors(self):
        """What a link may have behind `#`, as GitHub makes it of headings."""
        seen = {}
        for match in re.finditer(r"^#{1,6} +(.+?)(?: +#+)? *$", self.prose, re.MULTILINE):
            anchor = slug(match[1])
            count = seen[anchor] = seen.get(anchor, -1) + 1
            yield f"{anchor}-{count}" if count else anchor
        yield from re.findall(r"<a (?:name|id)=\"([^\"]+)\"", self.prose)


def slug(heading):
    """Letters, digits, hyphens and underscores of the heading without its markup; blanks become hyphens."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def read(file, text):
    prose, blocks, fence = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if fence is None and match:
            fence = match
            blocks.append(Block(file, number + 1, match[3], ""))
        elif fence is not None and match and match[2].startswith(fence[2]) and not match[3]:
            fence = None
        elif fence is not None:
            indentation = len(fence[1])
            blocks[-1].text += (line[indentation:] if not line[:indentation].strip() else line) + "\n"
        else:
            prose.append(line)
            continue
        prose.append("")
    return Page(file, "\n".join(prose), blocks)
