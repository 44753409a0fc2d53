"""Runs the tests of the examples for Pulumi and Terraform; `run` gets ready what they need."""

import argparse
import os
import pathlib
import sys
import unittest

import setting


def skip(name, reason):
    line = f"SKIP {name}: {reason}"
    print(line, file=sys.stderr)
    if os.environ.get("FEDBOOT_SKIPS"):
        with open(os.environ["FEDBOOT_SKIPS"], "a") as skips:
            print(line, file=skips)


def main():
    parser = argparse.ArgumentParser()
    for name in ("fedboot", "sandbox", "ministack"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tofu", "hcl", "why-no-terraform"):
        parser.add_argument(f"--{name}")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    for name in ("fedboot", "sandbox", "ministack", "tofu", "hcl"):
        if path := getattr(arguments, name):
            # A venv is found by the link in it.
            setattr(setting.Programs, name, str(pathlib.Path(path).absolute()))
    if not arguments.tofu:
        # Many tests also look at Terraform's half where it is there.
        skip("iac Terraform", arguments.why_no_terraform or "no OpenTofu")
    loader = unittest.TestLoader()
    if arguments.names:
        loader.testNamePatterns = [f"*{name}*" for name in arguments.names]
    suite = loader.discover(str(setting.HERE), "test_*.py")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    for test, reason in result.skipped:
        skip(f"iac {test.id()}", reason)
    # Several parts of one test may have failed.
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    passed = result.testsRun - failed - len(result.skipped)
    print(f"iac: {passed} passed, {failed} failed, {len(result.skipped)} skipped")
    if result.testsRun == 0:
        print("no test has such a name", file=sys.stderr)
    return failed > 0 or result.testsRun == 0


if __name__ == "__main__":
    sys.exit(main())
