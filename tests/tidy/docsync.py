# SPDX-License-Identifier: MIT
"""Tables of the source and tables of the documentation, read as sets of names.

The formats are described in rules.py, DOCS_IN_STEP.
"""

import re
from dataclasses import dataclass

from csource import CLOSE, OPEN, match_group

MARKER = re.compile(r"\s*<!--\s*table:\s*([a-z]+)\s*-->\s*$")
ROW_NAME = re.compile(r"\s*\|[^|`]*`([^`]+)`")
RULER = re.compile(r"\s*\|[\s:|-]+\|?\s*$")


@dataclass(frozen=True)
class Row:
    path: str
    line: int
    name: str


def source_rows(path, source, step):
    """(whether a table was found, its rows) in one parsed file."""
    found, rows = False, []
    for tables in (_macro_tables(source, step), _array_tables(source, step)):
        for entries in tables:
            found = True
            rows += [Row(path, line, name) for line, name in entries]
    return found, rows


def doc_tables(path, text, kinds):
    """{kind: rows} of the marked tables of one page."""
    tables = {}
    kind, in_rows = None, False
    for number, line in enumerate(text.splitlines(), 1):
        marker = MARKER.match(line)
        if marker:
            kind, in_rows = marker.group(1), False
            if kind in kinds:
                tables.setdefault(kind, [])
        elif kind and line.lstrip().startswith("|"):
            in_rows = True
            name = ROW_NAME.match(line)
            if name and kind in kinds and not RULER.match(line):
                tables[kind].append(Row(path, number, name.group(1).strip()))
        elif in_rows and not line.strip():
            kind = None
    return tables


def _macro_tables(source, step):
    """X-macros: the calls of the parameter in the body of each matching #define."""
    pattern = re.compile(step["macro"] + r"\Z")
    tokens = [t for t in source.tokens if t.directive == "define"]
    i = 0
    while i + 3 < len(tokens):
        if (pattern.match(tokens[i].text) and _starts_define(source, tokens[i])
                and tokens[i + 1].text == "(" and tokens[i + 2].kind == "ident"):
            parameter, end = tokens[i + 2].text, match_group(tokens, i + 1)
            entries, end = _calls_of(tokens, end, parameter, source, step)
            if entries:
                yield entries
            i = end
        else:
            i += 1


def _starts_define(source, token):
    return any(line == token.line and name == "define" and rest.startswith(token.text)
               for line, name, rest in source.directives)


def _calls_of(tokens, i, parameter, source, step):
    entries = []
    while i < len(tokens) and not _starts_define(source, tokens[i]):
        if tokens[i].text == parameter and i + 1 < len(tokens) and tokens[i + 1].text == "(":
            end = match_group(tokens, i + 1)
            name = _positional(tokens[i + 2:end - 1], step)
            if name:
                entries.append((tokens[i].line, name))
            i = end
        else:
            i += 1
    return entries, i


def _array_tables(source, step):
    """Arrays of a matching struct with an initialiser."""
    pattern = re.compile(step["struct"] + r"\Z")
    tokens = [t for t in source.tokens if not t.directive]
    for i in range(len(tokens) - 4):
        if not (tokens[i].text == "struct" and pattern.match(tokens[i + 1].text)):
            continue
        j = i + 2
        while j < len(tokens) and tokens[j].text in ("const",):
            j += 1
        if j + 1 >= len(tokens) or tokens[j].kind != "ident" or tokens[j + 1].text != "[":
            continue
        j = match_group(tokens, j + 1)
        if j + 1 < len(tokens) and tokens[j].text == "=" and tokens[j + 1].text == "{":
            end = match_group(tokens, j + 1)
            yield list(_array_entries(tokens[j + 2:end - 1], step))


def _array_entries(tokens, step):
    for part in _split(tokens):
        line = part[0].line
        if part[0].text == "[" and "=" in [t.text for t in part]:  # [INDEX] = { … }
            part = part[[t.text for t in part].index("=") + 1:]
        if len(part) > 1 and part[0].kind == "ident" and part[1].text == "(":
            name = _positional(part[2:-1], step)
        elif part and part[0].text == "{":
            inner = part[1:-1]
            designated = bool(inner) and inner[0].text == "."
            name = _designated(inner, step) if designated else _positional(inner, step)
        else:
            name = None
        if name:
            yield line, name


def _split(tokens):
    """Cut at the commas that stand in no group; empty parts are left out."""
    parts, part, depth = [], [], 0
    for t in tokens:
        if t.kind == "punct":
            depth += (t.text in OPEN) - (t.text in CLOSE)
            if t.text == "," and depth == 0:
                parts.append(part)
                part = []
                continue
        part.append(t)
    parts.append(part)
    return [p for p in parts if p]


def _value(tokens):
    """A string literal (parts joined) or a plain word; None for NULL and anything else."""
    if tokens and all(t.kind == "string" for t in tokens):
        return "".join(t.text[t.text.index('"') + 1:-1] for t in tokens)
    if len(tokens) == 1 and tokens[0].kind == "ident" and tokens[0].text != "NULL":
        return tokens[0].text
    return None


def _positional(tokens, step):
    parts = _split(tokens)
    if len(parts) <= max(step["name_args"]):
        return None
    return _joined((_value(parts[index]) for index in step["name_args"]), step)


def _designated(tokens, step):
    fields = {}
    for part in _split(tokens):
        if len(part) > 3 and part[0].text == "." and part[2].text == "=":
            fields[part[1].text] = _value(part[3:])
    return _joined((fields.get(name) for name in step["name_fields"]), step)


def _joined(values, step):
    values = list(values)
    if not all(values):
        return None
    prefix = step.get("name_prefix", "")
    return prefix + " ".join(values).removeprefix(prefix)
