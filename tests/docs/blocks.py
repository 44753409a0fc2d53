"""Whether blocks of code are what they say that they are."""

import ast
import configparser
import json
import re
import subprocess
import tomllib

import shell
import yaml

# What shellcheck is not asked of a piece that a reader pastes: variables that are set and used elsewhere (SC2034, SC2154),
# files that are sourced there (SC1090, SC1091), `cd` without a way out (SC2164).
EXCLUDED = "SC2034,SC2154,SC1090,SC1091,SC2164"
# Blocks that show how not to do it, by their first line.
SHOWN_AS_WRONG = {("docs/migration.md", "#!/bin/bash")}
SHELLS = {"sh", "bash", "shell", "console"}
# Languages whose blocks nobody reads here.
ELSEWHERE = {"hcl": "nothing here reads HCL", "text": "plain text", "": "plain text"}


def problem(block, shellcheck):
    """What is wrong with this block, by the language that it names."""
    if block.language in ELSEWHERE:
        return None
    reader = READERS.get(block.language)
    if reader is None:
        return f"nothing here reads {block.language!r}: see the table in tests/docs/blocks.py"
    try:
        return reader(block, shellcheck)
    except (ValueError, SyntaxError, yaml.YAMLError, configparser.Error, IndexError) as error:
        return f"no {block.language}: {error}"


def of_shell(block, shellcheck):
    done = subprocess.run(["bash", "-n"], input=script(block), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"bash: {done.stderr.strip()}"
    shell.commands(script(block))
    if shellcheck and (block.file, block.text.split("\n", 1)[0]) not in SHOWN_AS_WRONG:
        words = ["shellcheck", "--shell=bash", f"--exclude={EXCLUDED}", "--severity=warning", "--format=gcc", "-"]
        done = subprocess.run(words, input=script(block), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"shellcheck: {done.stdout.strip()}"
    return None


def of_dockerfile(block, _):
    """Instructions that there are; an exec form is JSON."""
    for line in re.sub(r"\\\n", " ", block.text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, _, rest = line.partition(" ")
        if instruction not in DOCKERFILE:
            return f"there is no instruction {instruction!r}"
        if instruction in ("ENTRYPOINT", "CMD"):
            json.loads(rest)
    return None


def of_ini(block, _):
    configparser.ConfigParser(interpolation=None, strict=True).read_string(block.text)


def of_json(block, _):
    json.loads(block.text)


def of_yaml(block, _):
    list(yaml.safe_load_all(block.text))


def of_toml(block, _):
    tomllib.loads(block.text)


def of_python(block, _):
    ast.parse(block.text)


DOCKERFILE = {
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ENV",
    "ARG",
    "LABEL",
    "USER",
    "WORKDIR",
    "ENTRYPOINT",
    "CMD",
    "HEALTHCHECK",
}
READERS = {
    **dict.fromkeys(SHELLS, of_shell),
    "dockerfile": of_dockerfile,
    "ini": of_ini,
    "json": of_json,
    "yaml": of_yaml,
    "toml": of_toml,
    "python": of_python,
}


def script(block):
    """The shell in this block: all of it, or in a block without a language what stands behind a prompt."""
    if block.language in SHELLS - {"console"}:
        return block.text
    lines = block.text.splitlines()
    return "\n".join(line[2:] for line in lines if line.startswith("$ ")) if block.language in ("", "console") else ""
