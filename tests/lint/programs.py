# SPDX-License-Identifier: Apache-2.0
"""Every program that the project's scripts run comes from a package that tests/deps installs.

What is run is read from the scripts themselves, so that a new program needs nothing here: the first word
of each list that Python hands to subprocess (and of every other list, where it is the name of a program),
commands in strings that are handed to a shell, and the commands of shell scripts and make recipes.
"""
import ast
import functools
import os
import re
import shlex
import shutil
import subprocess

from scripts import scripts
from tree import ROOT

# program -> why it need not be installed
OPTIONAL = {
    "sudo": "only for whoever is not root, and it is asked whether it is there",
    "apt-get": "that is how packages come; tests/deps ends before it where there is no dpkg",
    "apt-cache": "the same",
}
SHELL_WORDS = set("""if then elif else fi for in do done while until case esac function select time { } ! [[ ]]
    : . [ alias break cd command continue echo eval exec exit export false getopts hash local printf pwd read readonly
    return set shift source test times trap true type ulimit umask unset wait declare mapfile kill""".split())
# Programs that run the program after their options.
PREFIXES = {"env", "exec", "nice", "timeout", "sudo", "command", "xargs", "setsid", "nohup", "then", "do", "else",
            "if", "while", "until", "!", "time", "elif", "{"}
NAME = re.compile(r"^[a-z][a-z0-9_.+-]*$")
SHELLS = {"sh", "shell", "system", "counted"}  # functions that hand their string to a shell


def program_of(word):
    """The name of the program that word runs; None: it is none of the system's."""
    if re.match(r"^/(usr/)?s?bin/", word):
        word = word.rsplit("/", 1)[1]
    return word if NAME.match(word) else None


def commands(text):
    """Names at the places of commands in shell text, as far as they can be read without running it."""
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"<<-?\s*'?(\w+)'?.*?^\s*\1$", "", text, flags=re.S | re.M)
    text = re.sub(r"(^|\s)#.*", r"\1", text)
    text = re.sub(r"'[^']*'", " QUOTED ", text, flags=re.S)
    inner = re.findall(r"\$\(([^()]*)\)", text)
    text = re.sub(r"\$\([^()]*\)", " INNER ", text)
    text = re.sub(r'"[^"]*"', " QUOTED ", text, flags=re.S)
    for part in inner:
        yield from commands(part)
    for command in re.split(r"\|\||&&|[|;&\n()]", text):
        words = command.split()
        while words and (re.match(r"^[A-Za-z_]\w*\+?=", words[0]) or words[0] in PREFIXES):
            prefix = words.pop(0)
            if prefix in PREFIXES and NAME.match(prefix) and prefix not in SHELL_WORDS:
                yield prefix
            while prefix in PREFIXES and words and re.match(r"^(-|\d)", words[0]):
                words.pop(0)
        if words and words[0] not in SHELL_WORDS and program_of(words[0]):
            yield program_of(words[0])


def constant(node):
    """The text of a string as far as it is constant; holes of f-strings are words."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "HOLE" for v in node.values)
    return None


def python_programs(text):
    """(line, name, whether it is certain that this is run)"""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.List) and node.elts:
            head = constant(node.elts[0])
            if head and program_of(head):
                yield node.lineno, program_of(head), False
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        of_subprocess = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "subprocess"
        if of_subprocess and isinstance(first, ast.List) and first.elts:
            head = constant(first.elts[0])
            if head and program_of(head):
                yield node.lineno, program_of(head), True
        if function in SHELLS or of_subprocess:
            for argument in node.args[:2]:
                for name in commands(constant(argument) or ""):
                    yield node.lineno, name, False


def recipes(text):
    """The shell of a Makefile: recipes and $(shell ...), with make's variables as holes."""
    shell = re.findall(r"\$\(shell ([^\n]*)\)", text)
    lines = [line.strip().lstrip("@-") for line in re.sub(r"\\\n", " ", text).split("\n") if line.startswith("\t")]
    lines = [re.sub(r"^\$\(Q\)", "", line) for line in lines if not line.startswith("$(call SAY")]
    return "\n".join(re.sub(r"\$\([^()]*\)|\$\$", "HOLE", line) for line in shell + lines)


def used(tree):
    """(where, program, certain) of every script."""
    for path in scripts(tree, "python"):
        for line, name, certain in python_programs(tree.read(path)):
            yield f"{path}:{line}", name, certain
    for path in scripts(tree, "sh"):
        if path.startswith("tests/lab/l2/") or "python" in tree.read(path).split("\n", 1)[0]:
            continue  # the guest's scripts have busybox
        text = tree.read(path)
        own = set(re.findall(r"^\s*(?:function\s+)?(\w+)\s*\(\)", text, re.M))
        yield from ((path, name, False) for name in commands(text) if name not in own)
    yield from (("Makefile", name, False) for name in commands(recipes(tree.read("Makefile"))))


@functools.lru_cache(None)
def installed():
    """package -> (essential or required, packages it depends on)"""
    text = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Status}\t${Essential}\t${Priority}\t${Pre-Depends}, "
         "${Depends}\n"], stdout=subprocess.PIPE, text=True, check=True).stdout
    packages = {}
    for line in text.splitlines():
        name, status, essential, priority, depends = line.split("\t")
        if status == "installed":
            names = re.findall(r"[a-z0-9][a-z0-9+.-]+(?=[:\s,|]|$)", re.sub(r"\([^)]*\)", "", depends))
            packages[name] = (essential == "yes" or priority == "required", names)
    return packages


@functools.lru_cache(None)
def allowed():
    """What is there once tests/deps has run on a bare machine: its packages and all they need."""
    with open(os.path.join(ROOT, "tests/deps"), encoding="utf-8") as f:
        lists = re.findall(r"^\w+_packages=\(([^)]*)\)", f.read(), re.M)
    packages = installed()
    queue = [name for text in lists for name in text.split()]
    queue += [name for name, (needed, _) in packages.items() if needed]
    found = set()
    while queue:
        name = queue.pop()
        if name in found or name not in packages:
            continue
        found.add(name)
        queue += packages[name][1]
    return found


@functools.lru_cache(None)
def packages_of(program):
    path = shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if not path:
        return None
    real = os.path.realpath(path)
    names = {real, path, real.replace("/usr/", "/", 1), "/usr" + real}
    done = subprocess.run(["dpkg", "-S", *sorted(names)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    return {p.strip() for line in done.stdout.splitlines() for p in line.rsplit(": ", 1)[0].replace(":amd64", "").split(",")}


def check_programs(tree):
    """programs that scripts run come from a package of tests/deps, or an essential one"""
    if not shutil.which("dpkg-query"):
        return
    certainly = {}
    for where, name, certain in used(tree):
        certainly[where, name] = certainly.get((where, name), False) or certain
    for (where, name), certain in sorted(certainly.items()):
        packages = packages_of(name)
        if name in OPTIONAL or (packages is None and not certain) or (packages and packages & allowed()):
            continue
        if packages is None:
            yield f"{where}: '{name}' is not installed: which package of tests/deps brings it?"
        else:
            yield f"{where}: '{name}' is in {shlex.join(sorted(packages)) or 'no package'}, which tests/deps does not install"


CHECKS = [
    ("programs", check_programs,
     {"tests/lint/planted.py": "import subprocess\nsubprocess.run(['cowsay', 'moo'], check=True)\n"}),
]
