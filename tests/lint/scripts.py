# SPDX-License-Identifier: Apache-2.0
"""Scripts parse, formatting is clang-format's, generated documents are fresh."""
import ast
import os
import re
import subprocess
import tempfile

from objects import BUILD
from tree import ROOT

TEXT = re.compile(r"\.(c|h|py|sh|md|asl|json|txt|img|o|d|log)$")


def scripts(tree, interpreter):
    for path in tree.paths():
        if path.endswith(".py") and interpreter == "python":
            yield path
        elif not TEXT.search(path) or path.endswith(".sh"):
            try:
                first = tree.read(path).split("\n", 1)[0]
            except OSError:
                continue
            if first.startswith("#!") and interpreter in first:
                yield path


def check_shell(tree):
    """shell scripts parse"""
    for path in scripts(tree, "sh"):
        if "python" in tree.read(path).split("\n", 1)[0]:
            continue
        shell = "bash" if "bash" in tree.read(path).split("\n", 1)[0] else "sh"
        done = subprocess.run([shell, "-n"], input=tree.read(path), text=True,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode:
            yield f"{path}: {done.stderr.strip()}"


def check_python(tree):
    """Python files parse"""
    for path in scripts(tree, "python"):
        try:
            ast.parse(tree.read(path), path)
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"


def check_format(tree):
    """C files are as clang-format leaves them (make format)"""
    paths = tree.glob("src/", "threads/", "seccomp/", "include/", "tests/")
    for path in [p for p in paths if p in tree.overlay]:
        done = subprocess.run(["clang-format", f"--assume-filename={path}"], input=tree.read(path),
                              stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
        if done.stdout != tree.read(path):
            yield f"{path}: make format"
    if tree.overlay:
        return
    done = subprocess.run(["clang-format", "--dry-run", *paths], stderr=subprocess.PIPE, text=True,
                          cwd=ROOT, check=False)
    found = re.findall(r"^(?:\./)?([^:\n]+):\d+:\d+: warning:", done.stderr, re.M)
    yield from (f"{path}: make format" for path in sorted(set(found)))


# document -> tool that prints it, and what the tool is linked with
GENERATED = {
    "docs/cli.md": "tests/tools/cli_doc.c",
    "docs/seccomp.md": "tests/tools/policy_doc.c",
    "docs/qmp.md": "tests/tools/qmp_doc.c",
}


def generate(tool):
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "doc")
        subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-Iinclude", "-o", program, tool,
                        f"{BUILD}/libportcullis.a", "-lseccomp", "-lyajl", "-lpthread"],
                       cwd=ROOT, check=True)
        return subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout


def write_documents():
    for document, tool in GENERATED.items():
        with open(os.path.join(ROOT, document), "w", encoding="utf-8") as f:
            f.write(generate(tool))


def check_generated(tree):
    """generated documents are what their tables say (make docs)"""
    for document, tool in GENERATED.items():
        if not os.path.exists(os.path.join(ROOT, tool)):
            continue
        if generate(tool) != (tree.read(document) if document in tree.paths() else ""):
            yield f"{document}: stale; make docs"


CHECKS = [
    ("shell scripts", check_shell, {"tests/planted": "#!/bin/bash\nif true; then\n"}),
    ("Python files", check_python, {"tests/planted.py": "def f(:\n"}),
    ("format", check_format, {"src/pci/planted.c": "int f( void ){return 1;}\n"}),
    ("generated documents", check_generated, {"docs/seccomp.md": "# nothing\n"}),
]
