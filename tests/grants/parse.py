"""Has gcloud's own parser read commands (JSON on standard input, a list of argv), and does none of them. Prints what it refuses.

It is run by gcloud's interpreter, with the directory of gcloud's library as its argument.
"""

import contextlib
import io
import json
import sys

sys.path[:0] = [f"{sys.argv[1]}/third_party", sys.argv[1]]

from googlecloudsdk import gcloud_main

# The parser is a private member of calliope's CLI.
parser = gcloud_main.CreateCLI([])._CLI__parser
for argv in json.load(sys.stdin):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser.parse_args(argv[1:])
    except SystemExit:
        print(f"{' '.join(argv)}: {said.getvalue().strip()}")
