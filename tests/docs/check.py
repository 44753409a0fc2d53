"""Whether what the documentation says can be done: links, blocks of code, commands. See run."""

import argparse
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import blocks
import links
import markdown
import played
import programs
import shell

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Beginnings of pages of docs/, from where their links lead.
PARTS = {"tools/src/options.md", "tools/src/troubleshooting.md"}
# Commands in the text that are looked at, if no word of them is a placeholder.
MENTIONED = r"([A-Z_]+=\S+ )?(fedboot|cargo|scripts/\w+|tests/\S+/run|gcloud \S+) "
# Whose code and commands are looked at; links are in every page.
WITH_COMMANDS = re.compile(
    r"README\.md|CONTRIBUTING\.md|SECURITY\.md|docs/[^/]+\.md|sandbox/README\.md|examples/.*\.md"
)


def main():
    parser = argparse.ArgumentParser()
    for name in ("fedboot", "sandbox", "beam", "awscli", "skips"):
        parser.add_argument(f"--{name}", required=name != "skips")
    parser.add_argument("names", nargs="*", help="links, blocks, commands, played")
    arguments = parser.parse_args()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files = [file for file in files if (ROOT / file).exists()]
    texts = {file: (ROOT / file).read_text() for file in files if file.endswith(".md") and file not in PARTS}
    pages = {file: markdown.read(file, text) for file, text in texts.items()}
    with_commands = {file: page for file, page in pages.items() if WITH_COMMANDS.fullmatch(file)}
    report = Report(arguments.skips)
    chosen = arguments.names or ["links", "blocks", "commands", "played"]
    if "links" in chosen:
        report.all("links", len(pages), "pages", links.problems(pages, files))
    if "blocks" in chosen:
        check_blocks(report, with_commands)
    with tempfile.TemporaryDirectory() as arguments.home:
        checkers = programs.Checkers(arguments, files)
        if "commands" in chosen:
            check_commands(report, with_commands, checkers)
        if "played" in chosen:
            for name, problem, reason in played.all_of(arguments, pages, checkers):
                if reason:
                    report.skip(name, reason)
                else:
                    report.one(name, problem)
    return report.end()


class Report:
    """A line for each check, one with the totals."""

    def __init__(self, skips):
        self.passed = self.failed = self.skipped = 0
        self.skips = skips

    def one(self, name, problem):
        if problem:
            self.failed += 1
            print(f"FAILED {name}: {problem}", flush=True)
        else:
            self.passed += 1
            print(f"ok     {name}", flush=True)

    def all(self, name, count, unit, problems):
        """One check of many things; none at all is a failure."""
        problems = list(problems) if count else ["there are none"]
        self.one(f"{name} ({count} {unit})", "".join(f"\n       {problem}" for problem in problems))

    def skip(self, name, reason):
        self.skipped += 1
        line = f"SKIP docs {name}: {reason}"
        print(line, flush=True)
        if self.skips:
            with open(self.skips, "a") as file:
                file.write(f"{line}\n")

    def end(self):
        print(f"docs: {self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0


def check_blocks(report, pages):
    shellcheck = shutil.which("shellcheck")
    if not shellcheck:
        report.skip("shellcheck", "it is not installed")
    every = [block for page in pages.values() for block in page.blocks]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda block: (block, blocks.problem(block, shellcheck)), every))
    report.all("code", len(every), "blocks", [f"{block}: {problem}" for block, problem in found if problem])


def check_commands(report, pages, checkers):
    """Each simple command of the blocks, and those of some programs in the text."""
    places, mentions = {}, {}
    for page in pages.values():
        for block in page.blocks:
            for words in shell.commands(blocks.script(block)):
                places.setdefault(tuple(words), str(block))
        for line, code in page.spans():
            if re.match(MENTIONED, code) and not re.search(r"[\[…|]|\b[A-Z]{4,}\b", code):
                for words in shell.commands(code):
                    mentions.setdefault(tuple(words), f"{page.file}:{line}")
    every = {**mentions, **places}
    checkers.prepare()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda words: (words, checkers.check(list(words), words not in places)), every))
    wrong = [f"{every[words]}: {' '.join(words)[:100]}: {problem}" for words, problem in found if problem]
    report.all("commands", len(every), "of them", wrong)
    options = [(page.file, line, code) for page in pages.values() for line, code in page.spans()]
    options = [
        (f"{file}:{line}", code.split("=")[0].split()[0])
        for file, line, code in options
        if code.startswith("--") and code != "--"
    ]
    report.all("options in the text", len(options), "of them", checkers.unknown_options(options))
    for name, reason in sorted(checkers.skipped.items()):
        # What nothing could ever check here is no news; what another machine can is.
        if name not in programs.UNCHECKED:
            report.skip(name, reason)
    print("       " + ", ".join(f"{name} {count}" for name, count in sorted(checkers.counts.items())))
    unchecked = sorted(name for name in checkers.skipped if name in programs.UNCHECKED)
    print(f"       parsed as shell only: {', '.join(unchecked)}")


if __name__ == "__main__":
    sys.exit(main())
