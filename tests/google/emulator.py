"""bqemulator's command line, without what it would fetch at its start: DuckDB's extension for geography.

No test here asks for geography, and where the extensions' server cannot be reached the emulator would not start.
"""

import sys

from bqemulator.cli import main
from bqemulator.storage import engine

engine.DuckDBEngine._load_spatial = lambda _engine: None

if __name__ == "__main__":
    sys.exit(main())
