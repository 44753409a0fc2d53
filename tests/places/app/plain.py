"""A program that knows no variable: it asks Google's metadata server at its own name, or at the address that is given."""

import hashlib
import json
import sys
import time
import urllib.request

HOST = sys.argv[1] if len(sys.argv) > 1 else "metadata.google.internal"
URL = f"http://{HOST}/computeMetadata/v1/instance/service-accounts/default/token"

different = {}
while len(different) < 2:
    request = urllib.request.Request(URL, headers={"Metadata-Flavor": "Google"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        seen = hashlib.sha256(json.load(reply)["access_token"].encode()).hexdigest()[:12]
    different[seen] = None
    print(json.dumps({"seen": seen, "host": HOST}), flush=True)
    time.sleep(0.4)
