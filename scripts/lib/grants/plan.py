"""Steps that are looked at, made, undone, or printed.

Each step is one thing in one cloud. It is looked at before it is made, so a second run makes nothing, and a run that was
interrupted goes on where it stopped.
"""

import dataclasses
import re
import sys
from collections.abc import Callable

from . import tools
from .names import Problem


@dataclasses.dataclass
class Missing:
    """It is not there."""


@dataclasses.dataclass
class There:
    """It is there as it should be; `is_ours` if these scripts made it."""

    is_ours: bool = True


@dataclasses.dataclass
class Differs:
    """It is there, but otherwise. What can be changed is, if it is ours or if that was said."""

    how: str
    is_ours: bool = False
    remedy: str = ""
    can_change: bool = False
    is_deleted: bool = False


@dataclasses.dataclass
class Step:
    """One thing in one cloud."""

    what: str
    look: Callable[[], Missing | There | Differs]
    make: list[str]
    """The command that makes it."""
    change: Callable[[], list[str]] | None = None
    """The command that makes it right where it differs; `make` if there is none."""
    unmake: list[str] | None = None
    """The command that takes it away; without one it stays, for the reason in `stays`."""
    unmake_now: Callable[[], list[str]] | None = None
    """The same, where it depends on what is there."""
    stays: str = ""
    owner: "Step | None" = None
    """The step whose thing this belongs to: it is ours if that is."""
    in_use: Callable[[], str] | None = None
    """Who else needs it, or what would be lost with it; then it stays."""
    may_fail: bool = False
    """Whether a refusal to take it away only means that others use it."""


class Plan:
    """Steps in their order."""

    def __init__(self, name, learned):
        self.name = name
        self.steps = []
        self.learned = learned
        """Values that only a cloud knows: a name, and the function or command that finds it."""
        self.known = {}

    def add(self, step):
        """One more."""
        self.steps.append(step)
        return step

    def value(self, name):
        """A value that only a cloud knows."""
        if name not in self.known:
            _, find = self.learned[name]
            self.known[name] = str(find())
        return self.known[name]

    def filled(self, text):
        """With the values for `{{name}}`."""
        return re.sub(r"\{\{(\w+)\}\}", lambda it: self.value(it[1]) if it[1] in self.learned else it[0], text)

    def run(self, change_existing):
        """Makes what is missing."""
        for number, step in enumerate(self.steps, 1):
            state = explained(step, "could not be looked at", step.look)
            if isinstance(state, There):
                self.tell(number, step, "is there already")
            elif isinstance(state, Missing):
                self.do(step, step.make, "could not be made")
                self.tell(number, step, "made")
            elif state.can_change and (state.is_ours or change_existing):
                self.do(step, step.change() if step.change else step.make, "could not be changed")
                self.tell(number, step, f"changed ({state.how})")
            else:
                raise Problem(f"{step.what}: {state.how}\n  → {state.remedy or '--change-existing has it changed'}")

    def do(self, step, argv, verb):
        """Runs one command of that step."""
        return explained(step, verb, lambda: tools.run([self.filled(word) for word in argv]))

    def undo(self):
        """Takes away what these scripts made, the last first."""
        # Whose a binding is, its account says, which is gone by the time that the account's turn has come.
        states = {id(step): explained(step, "could not be looked at", step.look) for step in self.steps}
        needed = {
            id(step): explained(step, "could not be looked at", step.in_use) for step in self.steps if step.in_use
        }
        for number, step in reversed(list(enumerate(self.steps, 1))):
            state, owner = states[id(step)], states.get(id(step.owner))
            if isinstance(state, Missing) or getattr(state, "is_deleted", False):
                outcome = "is not there"
            elif reason := needed.get(id(step)) or needed.get(id(step.owner)):
                outcome = f"stays: {reason}"
            elif not (state.is_ours and getattr(owner, "is_ours", True)):
                by_hand = f"; to remove it: {self.filled(tools.printed(step.unmake))}" if step.unmake else ""
                outcome = f"stays: it was not made here{by_hand}"
            elif step.unmake is None:
                outcome = f"stays: {step.stays}"
            else:
                outcome = self.take_away(step)
            self.tell(number, step, outcome)

    def take_away(self, step):
        """Removes it, and says what came of it."""
        argv = step.unmake_now() if step.unmake_now else step.unmake
        try:
            tools.run([self.filled(word) for word in argv])
        except tools.Refused as refused:
            if refused.is_absent():
                return "is not there"
            if not step.may_fail:
                raise refused.explained(f"{step.what} could not be removed") from None
            return f"stays: {' '.join(refused.said.split())[-300:]}"
        return "removed" if argv == step.unmake else "no longer has what was added here"

    def print(self, undo):
        """The commands as a shell script for two empty accounts; nothing is asked."""
        print("#!/usr/bin/env bash")
        print(f"# What {self.name}{' --undo' if undo else ''} would run where nothing of it is there yet.")
        print("set -euo pipefail")
        set_already = set()
        for step in reversed(self.steps) if undo else self.steps:
            command = step.unmake if undo else step.make
            print(f"\n# {step.what}")
            if command is None:
                print(f"# stays: {step.stays}")
                continue
            for name in re.findall(r"\{\{(\w+)\}\}", " ".join(command)):
                if name in self.learned and name not in set_already:
                    set_already.add(name)
                    print(f'{name}="$({tools.printed(self.learned[name][0])})"')
            print(tools.printed(command))

    def tell(self, number, step, outcome):
        """One line for people."""
        print(f"[{number}/{len(self.steps)}] {step.what}: {outcome}", flush=True)


def explained(step, verb, act):
    """What `act` gives; a refusal becomes a problem that names the step."""
    try:
        return act()
    except tools.Refused as refused:
        raise refused.explained(f"{step.what} {verb}") from None


def finish(name, act):
    """Runs a script's main part, says in one line what went wrong, and ends."""
    try:
        act()
    except Problem as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        sys.exit(1)
    except tools.Refused as refused:
        print(f"{name}: {refused.explained('it was refused')}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; run the same command again, and it goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
