"""Reads AWS's configuration files as botocore does: a JSON list of paths on stdin; a list of values or errors on stdout."""

import json
import sys

from botocore.configloader import raw_config_parse
from botocore.exceptions import ConfigParseError


def read(path):
    try:
        return raw_config_parse(path)
    except ConfigParseError as error:
        return str(error)


json.dump([read(path) for path in json.load(sys.stdin)], sys.stdout)
