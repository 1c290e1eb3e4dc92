# SPDX-License-Identifier: Apache-2.0
"""How a case declares itself. Imported by L0 too, to know what there is to run: no side effects here."""

import dataclasses
import importlib
import pathlib
import time
import typing

REGISTRY = {}


class Failure(AssertionError):
    """What a case expected did not happen."""


class Skip(Exception):
    """The case cannot be run here; the text says why."""


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    function: typing.Callable
    host: str           # a key of labkit.hosts.HOSTS
    deadline: int       # seconds of L1's life the case may take
    vmms: tuple         # programs the case makes sense for: "portcullis", "qemu"
    allow: str          # regular expression of L1 kernel messages that are part of the case
    options: dict       # what is left over, for the case to read (stress: it takes long, make stress runs it)

    @property
    def summary(self):
        return (self.function.__doc__ or "").strip().split("\n")[0]


def case(function=None, *, name=None, host="standard", deadline=240, vmms=("portcullis", "qemu"), allow="",
         **options):
    """Mark a function as a case. Its name, with dashes, is the case's; its docstring says what it proves."""

    def register(function):
        case_name = name or function.__name__.replace("_", "-")
        if case_name in REGISTRY:
            raise ValueError(f"two cases are called {case_name}")
        REGISTRY[case_name] = Case(case_name, function, host, deadline, tuple(vmms), allow, options)
        return function

    return register(function) if function else register


def load():
    """All cases by name, in the order of their modules' names and of their definition there."""
    for path in sorted((pathlib.Path(__file__).parent.parent / "cases").glob("[a-z]*.py")):
        importlib.import_module(f"cases.{path.stem}")
    return REGISTRY


def log(text):
    """A line of the case's own log, printed when it fails; the time is L1's."""
    print(f"[{time.monotonic():8.2f}] {text}", flush=True)


def shorten(text, limit=160):
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit - 4] + " ..."


def check(condition, message):
    """An assertion that says what was expected."""
    if not condition:
        raise Failure(message)


def check_equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: expected {want!r}, got {got!r}")
