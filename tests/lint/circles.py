# SPDX-License-Identifier: Apache-2.0
"""Files that need each other: none do, but those that docs/architecture.md names with the reason."""
import fnmatch
import re

from layers import includes
from objects import compiled, symbols

PLACES = ("src/vfio/", "src/machine/")  # src/vfio/host within the first
DOCUMENT = "docs/architecture.md"
# A row of its table: | `src/a/x.c`, `src/a/y.c` | why |
ROW = re.compile(r"^\| ((?:`[\w/*]+\.[ch]`(?:, )?)+) \| ([^|]+) \|$", re.M)


def references(tree):
    """file -> {file it refers to: names}: calls, and functions and data whose address is taken."""
    defined, wanted = {}, {}
    for name, path in compiled(tree):
        source = name[:-2] + ".c"
        if not source.startswith(PLACES):
            continue
        for line in symbols(path).splitlines():
            cells = [c.strip() for c in line.split("|")]
            if len(cells) >= 7 and cells[2] == "U":
                wanted.setdefault(source, set()).add(cells[0])
            elif len(cells) >= 7 and cells[2].isupper():
                defined[cells[0]] = source
    graph = {source: {} for source in set(defined.values()) | set(wanted)}
    for source, names in wanted.items():
        for name in sorted(names & set(defined)):
            graph[source].setdefault(defined[name], []).append(name)
    return graph


def inclusions(tree):
    """file -> {file it includes: nothing more to say}"""
    graph = {}
    for path in tree.glob(*PLACES, "include/"):
        graph[path] = {}
        for _, kind, name in includes(tree, path):
            there = f"{path.rsplit('/', 1)[0]}/{name}" if kind == '"' else f"include/{name}"
            if there in tree.paths():
                graph[path][there] = [f"#include {name}"]
    return graph


def circles(graph):
    """Tarjan's: the sets of files that reach each other."""
    order, low, stack, found = {}, {}, [], []

    def visit(file):
        order[file] = low[file] = len(order)
        stack.append(file)
        for other in graph.get(file, ()):
            if other not in order:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], order[other])
        if low[file] == order[file]:
            circle = set(stack[stack.index(file):])
            del stack[stack.index(file):]
            if len(circle) > 1:
                found.append(circle)

    for file in sorted(graph):
        if file not in order:
            visit(file)
    return found


def named(tree):
    return [set(re.findall(r"`([^`]+)`", row[1])) for row in ROW.finditer(tree.read(DOCUMENT))]


def check_circles(tree):
    """no files of src/vfio and src/machine need each other in a circle, but those architecture.md names"""
    unseen = named(tree)
    for graph in (references(tree), inclusions(tree)):
        for circle in circles(graph):
            rows = [r for r in named(tree) if all(any(fnmatch.fnmatch(f, n) for n in r) for f in circle)]
            unseen = [r for r in unseen if r not in rows]
            for file in sorted(circle) if not rows else ():
                for other in sorted(circle & set(graph[file])):
                    yield f"circle: {file} -> {other} ({', '.join(graph[file][other])})"
    for row in unseen:
        yield f"{DOCUMENT}: no circle any more, take it out of the table: {', '.join(sorted(row))}"


CALLER = "void planted_{0}(void);\nvoid planted_{1}(void);\nvoid planted_{1}(void)\n{{\n\tplanted_{0}();\n}}\n"
TAKER = "void planted_{0}(void);\nextern void (*const planted_{1})(void);\nvoid (*const planted_{1})(void) = planted_{0};\n"
USER = "extern void (*const planted_{0})(void);\nvoid planted_{1}(void);\nvoid planted_{1}(void)\n{{\n\tplanted_{0}();\n}}\n"

CHECKS = [
    ("circles: calls", check_circles, {
        "src/vfio/planted_a.c": CALLER.format("a", "b"),
        "src/vfio/host/planted_b.c": CALLER.format("b", "a")}),
    ("circles: tables of functions", check_circles, {
        "src/vfio/planted_a.c": TAKER.format("a", "table"),
        "src/vfio/planted_b.c": USER.format("table", "a")}),
    ("circles: the table is true", check_circles, {
        DOCUMENT: "| files | why |\n|---|---|\n| `src/machine/*.c` | x |\n| `src/vfio/rom.c`, `src/vfio/access.c` | y |\n"}),
    ("circles: includes", check_circles, {
        "src/vfio/planted_a.h": '#include "planted_b.h"\n',
        "src/vfio/planted_b.h": '#include "planted_a.h"\n'}),
]
