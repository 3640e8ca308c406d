#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The source as data: refuses what doc and compiler cannot, reports sizes.

    tests/tidy/tidy.py [--root DIR] [--quiet]

Reads the files that git tracks or would add.  Prints `path:line: rule: message` for each finding
and a summary; exits with 1 if anything was refused.  The rules stand as tables in rules.py; each
check here has fixtures in test_tidy.py that it must refuse and accept.
"""

import argparse
import fnmatch
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

import rules
from csource import read_c, variables_of
from docsync import doc_tables, source_rows


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Tree:
    """The files of a checkout, by path from its root."""

    def __init__(self, contents):
        self.contents = dict(contents)  # path -> bytes
        self._parsed = {}
        self._texts = {}

    def paths(self, globs=("*",)):
        return sorted(p for p in self.contents if matches(p, globs))

    def c_paths(self, folders=None):
        return [p for p in self.paths(("*.c", "*.h"))
                if folders is None or folder_of(p) in folders]

    def is_binary(self, path):
        return b"\0" in self.contents[path]

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = self.contents[path].decode("utf-8", "replace")
        return self._texts[path]

    def c(self, path):
        if path not in self._parsed:
            self._parsed[path] = read_c(self.text(path))
        return self._parsed[path]


@lru_cache(maxsize=None)
def _glob(pattern):
    return re.compile(fnmatch.translate(pattern))


def matches(path, globs):
    return any(_glob(g).match(path) for g in globs)


def folder_of(path):
    return path.split("/", 1)[0] if "/" in path else ""


def is_proto(path):
    return "/proto/" in path


# ---- includes ----------------------------------------------------------------------------------


def included_path(tree, include):
    """Path in the tree that an include names, or None for the system's and other projects'."""
    if include.name.startswith("peerup/"):
        return "include/" + include.name
    if include.quoted or include.name in tree.contents:
        return include.name
    return None


def check_arrows(tree):
    """Includes go along the arrows of architecture.md, and from the root of the tree."""
    for path in tree.c_paths():
        folder = folder_of(path)
        if folder in rules.MAY_INCLUDE_ANYTHING or folder not in rules.MAY_INCLUDE:
            continue
        for include in tree.c(path).includes:
            target = included_path(tree, include)
            if target is None or target in rules.GENERATED_HEADERS:
                continue
            message = _arrow_problem(tree, path, target)
            if message:
                yield Finding(path, include.line, "arrows", message)


def _arrow_problem(tree, path, target):
    folder, target_folder = folder_of(path), folder_of(target)
    if target not in tree.contents:
        return f'"{target}" is no file of the tree; name it from the root, or use <…>'
    if target_folder not in rules.MAY_INCLUDE[folder]:
        allowed = ", ".join(rules.MAY_INCLUDE[folder])
        return f"{folder}/ may include {allowed}; not {target}"
    if is_proto(path) and target_folder != "core" and not is_proto(target):
        return f"an engine includes core/ and other proto/ headers only; not {target}"
    if target.endswith("_internal.h") and os.path.dirname(target) != os.path.dirname(path):
        return f"{target} belongs to its own folder"
    if not target.endswith(".h"):
        return f"{target} is not a header"
    return None


def modules_of(tree):
    """{path: module}.  foo.c, foo.h and foo_internal.h are one, with every foo_*.c that shares
    foo_internal.h."""
    modules = {}
    for path in tree.c_paths(rules.PRODUCT):
        stem = path[:-2]
        modules[path] = stem.removesuffix("_internal")
    for path in list(modules):
        for include in tree.c(path).includes:
            whole = include.name[:-2].removesuffix("_internal")
            if (include.name.endswith("_internal.h") and path.startswith(whole + "_")):
                modules[path] = whole
    return modules


def check_cycles(tree):
    """Modules form no cycle."""
    modules = modules_of(tree)
    edges = {m: {} for m in modules.values()}
    for path, module in modules.items():
        for include in tree.c(path).includes:
            target = modules.get(included_path(tree, include))
            if target is not None and target != module:
                edges[module].setdefault(target, (path, include.line))
    for cycle in _cycles(edges):
        path, line = edges[cycle[0]][cycle[1]]
        yield Finding(path, line, "cycles", "modules in a cycle: " + " -> ".join(cycle))


def _cycles(edges):
    """One shortest cycle through the first module of each strongly connected set."""
    reach = {m: _reachable(edges, m) for m in edges}
    done = set()
    for module in sorted(edges):
        if module in done or module not in reach[module]:
            continue
        done |= {m for m in reach[module] if module in reach[m]}
        yield _shortest_way_back(edges, module)


def _reachable(edges, start):
    seen, todo = set(), list(edges[start])
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += edges[module]
    return seen


def _shortest_way_back(edges, start):
    ways = [[start]]
    seen = set()
    for way in ways:  # grows while it is walked: breadth first
        for target in sorted(edges[way[-1]]):
            if target == start:
                return way + [start]
            if target not in seen:
                seen.add(target)
                ways.append(way + [target])
    raise AssertionError("called for a module in no cycle")


def check_own_header(tree):
    """A module's source includes its own header first: proof that the header stands alone."""
    for path in tree.c_paths(rules.PRODUCT):
        own = path[:-2] + ".h"
        if not path.endswith(".c") or own not in tree.contents:
            continue
        includes = tree.c(path).includes
        if not includes or included_path(tree, includes[0]) != own:
            line = includes[0].line if includes else 1
            yield Finding(path, line, "own-header", f'"{own}" comes before all other includes')


def check_headers(tree):
    """Headers guard themselves by #pragma once, before anything else."""
    for path in tree.c_paths():
        if path.endswith(".h") and not matches(path, rules.FOREIGN_FORM):
            directives = tree.c(path).directives
            if not directives or directives[0][1:] != ("pragma", "once"):
                line = directives[0][0] if directives else 1
                yield Finding(path, line, "pragma-once", "the first directive is not #pragma once")


def check_licence(tree):
    """The licence is the first line of a C file."""
    for path in tree.c_paths():
        if not re.match(r"/\* SPDX-License-Identifier: \S.* \*/\r?\n", tree.text(path)):
            message = "the first line is not /* SPDX-License-Identifier: MIT */"
            yield Finding(path, 1, "licence", message)


def check_third_party(tree):
    """Headers of other projects are included by the files that the table names."""
    for path in tree.c_paths():
        product = folder_of(path) in rules.PRODUCT
        for include in tree.c(path).includes:
            name = include.name
            if included_path(tree, include) is not None or _has_prefix(name, rules.SYSTEM_HEADERS):
                continue
            prefix = _has_prefix(name, rules.THIRD_PARTY_HEADERS)
            if prefix is None:
                message = f"<{name}> is in no table of tests/tidy/rules.py"
            elif product and not matches(path, rules.THIRD_PARTY_HEADERS[prefix]):
                owners = ", ".join(rules.THIRD_PARTY_HEADERS[prefix])
                message = f"<{name}> is for {owners}"
            elif prefix in rules.TESTS_ONLY_HEADERS and folder_of(path) != "tests":
                message = f"<{name}> is for tests/"
            else:
                continue
            yield Finding(path, include.line, "third-party", message)


def _has_prefix(name, prefixes):
    """The entry that covers `name`: itself, or a folder above it."""
    for prefix in prefixes:
        if name == prefix or (prefix.endswith("/") and name.startswith(prefix)):
            return prefix
    return None


# ---- names in code -----------------------------------------------------------------------------


def check_node(tree):
    """struct node exists in ctl/ alone."""
    for path in tree.c_paths():
        if folder_of(path) not in rules.PRODUCT or folder_of(path) == "ctl":
            continue
        tokens = tree.c(path).tokens
        for t, following in zip(tokens, tokens[1:]):
            if (t.text, following.text) == ("struct", "node"):
                message = "struct node outside ctl/; take exactly the things you use"
                yield Finding(path, t.line, "node", message)


def check_globals(tree):
    """No object with static lifetime can change."""
    wanted = dict(rules.MUTABLE_GLOBALS)
    for path in tree.c_paths(rules.PRODUCT):
        for variable in variables_of(tree.c(path)):
            if variable.is_const:
                continue
            if wanted.pop((path, variable.name), None) is None:
                message = f"{variable.name} is a mutable global; put it into its owner"
                yield Finding(path, variable.line, "globals", message)
    for path, name in wanted:
        if path in tree.contents:
            yield Finding(path, 1, "globals", f"{name} is allowed by rules.py and is not there")


def uses_of(source, names):
    """Tokens by which a file calls one of `names`, or hands it on."""
    own = {f.name for f in source.functions}
    tokens = source.tokens
    for i, t in enumerate(tokens):
        if t.kind != "ident" or t.text not in names or t.text in own:
            continue
        before = tokens[i - 1].text if i else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if before in (".", "->", "struct", "enum", "union", "goto"):
            continue
        is_call = after == "("
        is_handed_on = (t.text in rules.OWNED_REFERENCES and after in (",", ";", ")", "}")
                        and before in ("=", ",", "(", "{", "?", ":", "return", "&"))
        if is_call or is_handed_on:
            yield t


def check_owners(tree):
    """Time, randomness, sockets and memory come from their owners."""
    for row in rules.OWNED_CALLS:
        names = set(row["names"].split())
        for path in tree.c_paths(rules.PRODUCT):
            if matches(path, row["owners"]):
                continue
            for t in uses_of(tree.c(path), names):
                message = f"{t.text}() belongs to {', '.join(row['owners'])}; use {row['instead']}"
                yield Finding(path, t.line, "owners", message)


def check_banned(tree):
    """Functions that nobody calls."""
    for path in tree.c_paths():
        for t in uses_of(tree.c(path), rules.BANNED_CALLS):
            message = f"{t.text}() is banned; use {rules.BANNED_CALLS[t.text]}"
            yield Finding(path, t.line, "banned", message)


# ---- text --------------------------------------------------------------------------------------


def _own_texts(tree):
    for path in tree.paths():
        if not matches(path, rules.DATA + rules.SELF) and not tree.is_binary(path):
            yield path, tree.text(path)


def _lines_matching(text, pattern):
    for match in re.finditer(pattern, text):
        yield text.count("\n", 0, match.start()) + 1, match.group()


def check_comments(tree):
    """Working notes don't stay."""
    for path in tree.c_paths():
        for comment in tree.c(path).comments:
            if comment.is_line_comment:
                message = "// is a working note; a comment that stays is /* */"
                yield Finding(path, comment.line, "comments", message)
    for path, text in _own_texts(tree):
        for line, word in _lines_matching(text, rules.WORKING_NOTES):
            yield Finding(path, line, "comments", f"{word} is a working note: do it, or say why not")


def check_strays(tree):
    """Only what was written to be kept is kept."""
    for path in tree.paths():
        if matches(path, rules.DATA):
            continue
        size = len(tree.contents[path])
        if matches(path, rules.STRAY_FILES):
            yield Finding(path, 1, "strays", "a stray file")
        elif size > rules.FILE_BYTES_MAX:
            yield Finding(path, 1, "strays", f"{size} bytes; the most is {rules.FILE_BYTES_MAX}")
        elif tree.is_binary(path) and not matches(path, rules.BINARY_ALLOWED):
            yield Finding(path, 1, "strays", "a binary file")


def check_foreign_names(tree):
    """Nothing ties a file to the machine or the tools it was made with."""
    for path, text in _own_texts(tree):
        for pattern, message in rules.FOREIGN_NAMES:
            for line, found in _lines_matching(text, pattern):
                yield Finding(path, line, "names", f"{found.strip()}: {message}")


# ---- docs in step ------------------------------------------------------------------------------


def check_docs(tree, notes=None):
    """Commands, options, errors, metrics and routes: source and documentation name the same."""
    kinds = [step["kind"] for step in rules.DOCS_IN_STEP]
    documented = {}
    for path in tree.paths(["README.md", "docs/*.md"]):
        for kind, rows in doc_tables(path, tree.text(path), kinds).items():
            documented.setdefault(kind, []).extend(rows)
    for step in rules.DOCS_IN_STEP:
        found, rows = False, []
        for path in tree.paths(step["source"]):
            if path.endswith((".c", ".h")):
                found_here, rows_here = source_rows(path, tree.c(path), step)
                found, rows = found or found_here, rows + rows_here
        yield from _compare(step["kind"], found, rows, documented.get(step["kind"]), notes)


def _compare(kind, found, rows, documented, notes):
    if not found or documented is None:
        side = "in the documentation" if found else "in the source"
        if notes is not None:
            notes.append(f"docs: {kind}: not yet present {side}")
        return
    in_source, in_docs = {r.name for r in rows}, {r.name for r in documented}
    for row in rows:
        if row.name not in in_docs:
            message = f"{row.name} is missing in the documentation's table of {kind}"
            yield Finding(row.path, row.line, "docs", message)
    for row in documented:
        if row.name not in in_source:
            message = f"{row.name} is in no table of {kind} of the source"
            yield Finding(row.path, row.line, "docs", message)


# ---- sizes -------------------------------------------------------------------------------------


def sizes(tree):
    """{what: (path, line, size)} of all that is larger than the rules recommend."""
    large = {}
    for path in tree.c_paths():
        lines_count = tree.text(path).count("\n")
        if lines_count > rules.FILE_LINES_MAX:
            large["file", path] = (path, 1, lines_count)
        for function in tree.c(path).functions:
            for what, size, most in (
                ("lines", function.lines_count, rules.FUNCTION_LINES_MAX),
                ("branches", function.branches_count, rules.FUNCTION_BRANCHES_MAX),
            ):
                if size > most:
                    large[what, path, function.name] = (path, function.line, size)
    return large


def size_report(now, before):
    """Lines of text; `before` is None where there is no earlier commit to compare with."""
    lines = []
    for key, (path, line, size) in sorted(now.items(), key=lambda item: item[1]):
        change = ""
        if before is not None and before.get(key, (0, 0, 0))[2] != size:
            was = f"was {before[key][2]}" if key in before else "new here"
            change = f" ({was})"
        subject = "file has {} lines" if key[0] == "file" else key[-1] + " has {} " + key[0]
        lines.append(f"{path}:{line}: size: {subject.format(size)}{change}")
    counts = []
    for what, title in (
        ("lines", f"functions over {rules.FUNCTION_LINES_MAX} lines"),
        ("branches", f"over {rules.FUNCTION_BRANCHES_MAX} branches"),
        ("file", f"files over {rules.FILE_LINES_MAX} lines"),
    ):
        count = sum(key[0] == what for key in now)
        text = f"{count} {title}"
        if before is not None:
            text += f" ({count - sum(key[0] == what for key in before):+d})"
        counts.append(text)
    return lines + ["tidy: " + ", ".join(counts)]


# ---- running -----------------------------------------------------------------------------------

CHECKS = [
    check_arrows, check_cycles, check_own_header, check_headers, check_licence, check_third_party,
    check_node, check_globals, check_owners, check_banned, check_comments, check_strays,
    check_foreign_names, check_docs,
]  # fmt: skip


def git(root, *arguments):
    command = ["git", "-C", root, *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def read_checkout(root):
    """What git tracks or would add; without git (a release archive), all but build folders."""
    try:
        listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = [os.fsdecode(n) for n in listed.split(b"\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = [s for s in subfolders if s not in (".git", "build", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    contents = {}
    for name in names:
        full = os.path.join(root, name)
        if os.path.isfile(full) and not os.path.islink(full):
            with open(full, "rb") as file:
                contents[name] = file.read()
    return Tree(contents)


def read_commit(root, now, commit):
    """The C files as they were at `commit`; None if there is none.  Unchanged ones are shared."""
    try:
        names = os.fsdecode(git(root, "ls-tree", "-r", "-z", "--name-only", commit)).split("\0")
        changed = set(os.fsdecode(git(root, "diff", "-z", "--name-only", commit)).split("\0"))
        tree = Tree({})
        for name in names:
            if not name.endswith((".c", ".h")):
                continue
            if name in changed or name not in now.contents:
                tree.contents[name] = git(root, "show", f"{commit}:{name}")
            else:
                tree.contents[name] = now.contents[name]
                tree._parsed[name] = now.c(name)
        return tree
    except (OSError, subprocess.CalledProcessError):
        return None


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--quiet", action="store_true", help="print findings and summary only")
    arguments = parser.parse_args()

    tree = read_checkout(arguments.root)
    if not tree.contents:
        sys.exit(f"tidy: no files in {arguments.root}")
    failed_count = 0
    notes = []
    for check in CHECKS:
        findings = sorted(check(tree, notes) if check is check_docs else check(tree))
        for finding in findings:
            print(finding)
        failed_count += bool(findings)
    if not arguments.quiet:
        print(*notes, sep="\n", end="\n" if notes else "")
        before = read_commit(arguments.root, tree, "HEAD~1")
        print(*size_report(sizes(tree), sizes(before) if before else None), sep="\n")
    print(f"tidy: {len(CHECKS) - failed_count} checks passed, {failed_count} failed")
    return 1 if failed_count else 0


if __name__ == "__main__":
    sys.exit(main())
