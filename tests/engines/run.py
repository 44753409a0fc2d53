"""Engines for many machines behind fedboot: at least two workers, S3 to S3, across expired credentials and a killed agent.

Called by `run` beside it, which has got everything ready. Prints a line for each engine and one with the totals.
"""

import argparse
import concurrent.futures
import importlib.util
import os
import sys
import time
import traceback

import cluster
import stage


def load(name):
    """The engine's file, by its place: its name may be that of the package which it tests."""
    specification = importlib.util.spec_from_file_location(f"engine_{name}", cluster.HERE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def play(name, arguments, venv, jars):
    """Runs one engine's test on a stage of its own. Returns its figures, or raises."""
    engine = load(name)
    with stage.Stage(
        fedboot=arguments.fedboot,
        sandbox=arguments.sandbox,
        beam=venv,
        ministack=arguments.ministack,
        lifetime=engine.LIFETIME,
    ) as on_stage:
        try:
            return engine.run(cluster.Cluster(name, on_stage, venv=venv, jars=jars))
        except Exception:
            show_logs(on_stage)
            raise


def show_logs(on_stage):
    """The ends of the logs; of the clouds' only what they said at the end."""
    for log in sorted((on_stage.place / "logs").iterdir()):
        length = 500 if log.stem in ("ministack", "sandbox") else 4000
        sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-length:]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fedboot", "sandbox", "ministack"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--engine", nargs=3, action="append", default=[], metavar=("NAME", "VENV", "JARS"))
    parser.add_argument("--skipped", type=int, default=0, help="how many engines cannot run here")
    parser.add_argument("--at-once", type=int, default=1, help="how many engines run at the same time")
    arguments = parser.parse_args()
    if why := stage.isolate():
        print(f"   not in a network of its own: {why}", file=sys.stderr)
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:

        def timed(name, venv, jars):
            begun = time.monotonic()
            return {**play(name, arguments, venv, jars), "seconds": round(time.monotonic() - begun)}

        running = {pool.submit(timed, *engine): engine[0] for engine in arguments.engine}
        for future in concurrent.futures.as_completed(running):
            name = running[future]
            if error := future.exception():
                failed += 1
                traceback.print_exception(error)
                print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            else:
                figures = ", ".join(f"{what} {figure}" for what, figure in future.result().items())
                print(f"ok {name}: {figures}", flush=True)
    passed = len(arguments.engine) - failed
    print(f"engines: {passed} passed, {failed} failed, {arguments.skipped} skipped", flush=True)
    return 1 if failed or not passed + arguments.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
