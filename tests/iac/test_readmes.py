"""The settings in the READMEs are enough, and right; what they link to is there."""

import pathlib
import re
import shlex
import shutil
import tempfile
import unittest

from setting import EXAMPLES, PULUMI, TERRAFORM, Programs, pulumi, tofu

ROOTS = sorted(path.parent for path in TERRAFORM.glob("*/README.md") if path.parent.name != "modules")
# On the reader's machine.
BINARY = "/usr/local/bin/fedboot"
SETTING = re.compile(r"^pulumi config set (\w+) (.+)$", re.MULTILINE)


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


class Readmes(unittest.TestCase):
    def test_pulumi_takes_the_settings(self):
        said, places = [], set()
        for program in ("google-to-aws", "aws-to-google"):
            first, *others = blocks(EXAMPLES / "pulumi" / program / "README.md", "sh")
            common = SETTING.findall(first)
            for block in others:
                settings = {name: shlex.split(value)[0] for name, value in [*common, *SETTING.findall(block)]}
                settings = {name: it.replace(BINARY, __file__) for name, it in settings.items()}
                places.add(settings["place"])
                # Nothing but what stands there.
                absent = dict.fromkeys(PULUMI[settings["place"]][1])
                said.append((settings["place"], {**absent, **settings}))
        self.assertEqual(places, set(PULUMI))
        for (place, _), ended in zip(said, pulumi(*said), strict=True):
            with self.subTest(place):
                self.assertIn("outputs", ended, ended)

    def test_terraform_takes_the_settings(self):
        if not Programs.tofu:
            self.skipTest("no OpenTofu")
        self.assertEqual(len(ROOTS), 8)
        for root in ROOTS:
            with self.subTest(root.name), tempfile.TemporaryDirectory() as place:
                shutil.copy(root / "variables.tf", place)
                [settings] = blocks(root / "README.md", "hcl")
                (pathlib.Path(place) / "terraform.tfvars").write_text(settings.replace(BINARY, __file__))
                ended = tofu(pathlib.Path(place), "plan", "-input=false", "-no-color", check=False)
                self.assertEqual(ended.returncode, 0, ended.stderr)
                # A name that is none is only warned of.
                self.assertNotIn("undeclared", ended.stdout + ended.stderr)

    def test_each_folder_has_one_and_its_links_lead_somewhere(self):
        readmes = [*(EXAMPLES / "pulumi").rglob("README.md"), *TERRAFORM.rglob("README.md")]
        self.assertEqual(len(readmes), 3 + 2 + len(ROOTS))
        for path in readmes:
            for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
                if not link.startswith("https://"):
                    with self.subTest(path.parent.name, link=link):
                        self.assertTrue((path.parent / link).exists())

    def test_outputs_that_they_name_are_there(self):
        for root in ROOTS:
            declared = re.findall(r'^output "(\w+)"', (root / "outputs.tf").read_text(), re.MULTILINE)
            for name in re.findall(r"terraform output (?:-raw )?(\w+)", (root / "README.md").read_text()):
                with self.subTest(root.name, output=name):
                    self.assertIn(name, declared)
