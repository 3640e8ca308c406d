# SPDX-License-Identifier: MIT
"""C source as data: tokens, comments, includes, file-scope declarations, functions.

Not a compiler.  Comments, strings and line continuations are told apart exactly; nothing is
expanded.  Where the preprocessor offers alternatives, names are looked for in all of them and
the brace structure is read from the first, so that `#if … if (a) { #else if (b) { #endif`
balances.
"""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""
      (?P<comment>/\*.*?(?:\*/|\Z))
    | (?P<line_comment>//(?:\\\r?\n|[^\n])*)
    | (?P<string>(?:u8|[uUL])?"(?:\\(?:\r?\n|.)|[^"\\\n])*")
    | (?P<char>[uUL]?'(?:\\.|[^'\\\n])*')
    | (?P<number>\.?[0-9](?:[eEpP][+-]|[\w.'])*)
    | (?P<ident>[A-Za-z_]\w*)
    | (?P<joined>\\\r?\n)
    | (?P<newline>\n)
    | (?P<space>[ \t\r\f\v]+)
    | (?P<punct>->|\.\.\.|\#\#|&&|\|\||.)
    """,
    re.VERBOSE | re.DOTALL,
)

OPEN = {"(": ")", "[": "]", "{": "}"}
CLOSE = set(OPEN.values())

STORAGE = {"static", "extern", "_Thread_local", "__thread", "thread_local", "register", "auto",
           "inline", "__inline", "__inline__", "_Noreturn", "__extension__"}
QUALIFIERS = {"const", "volatile", "restrict", "__restrict", "_Atomic"}
BASIC_TYPES = {"void", "char", "short", "int", "long", "float", "double", "signed", "unsigned",
               "_Bool", "bool", "__int128", "_Complex"}
WITH_GROUP = {"__attribute__", "_Alignas", "alignas", "__declspec", "__asm__", "asm"}
TYPEOF = {"typeof", "__typeof__", "__auto_type"}
BRANCHES = {"if", "for", "while", "case", "&&", "||", "?"}


@dataclass(frozen=True)
class Token:
    kind: str  # string, char, number, ident or punct
    text: str
    line: int
    directive: str = ""  # the directive whose line this token stands on: "define", "if", …
    alternative: bool = False  # inside an #else or #elif part


@dataclass(frozen=True)
class Include:
    line: int
    name: str
    quoted: bool  # "name", not <name>


@dataclass(frozen=True)
class Comment:
    line: int
    text: str
    is_line_comment: bool


@dataclass(frozen=True)
class Function:
    name: str
    line: int
    line_last: int
    body: tuple  # of Token, without the outer braces

    @property
    def lines_count(self):
        return self.line_last - self.line + 1

    @property
    def branches_count(self):
        return 1 + sum(t.text in BRANCHES for t in self.body)


@dataclass(frozen=True)
class Variable:
    name: str
    line: int
    is_const: bool
    is_thread_local: bool


@dataclass
class CSource:
    tokens: list = field(default_factory=list)
    comments: list = field(default_factory=list)
    includes: list = field(default_factory=list)
    directives: list = field(default_factory=list)  # (line, name, rest of the line)
    functions: list = field(default_factory=list)
    declarations: list = field(default_factory=list)  # each a list of Token, without the ';'


def read_c(text):
    """Parse one file.  Never fails: what cannot be understood is left out of the structure."""
    source = CSource()
    _tokenize(text, source)
    _find_structure(source)
    return source


def variables_of(source):
    """Every object with static lifetime: at file scope, and `static` ones in functions."""
    found = []
    for declaration in source.declarations:
        found += _variables(declaration)
    for function in source.functions:
        found += _static_locals(function.body)
    return found


# ---- tokens ------------------------------------------------------------------------------------


def _tokenize(text, source):
    line = 1
    directive = ""
    at_line_start = True
    branches = []  # for each open #if: the number of its #else and #elif so far
    pos = 0
    while pos < len(text):
        match = TOKEN.match(text, pos)
        kind, word = match.lastgroup, match.group()
        pos = match.end()
        if kind == "newline":
            directive, at_line_start = "", True
        elif kind in ("comment", "line_comment"):
            source.comments.append(Comment(line, word, kind == "line_comment"))
        elif kind == "punct" and word == "#" and at_line_start:
            directive, pos = _directive(text, pos, line, source, branches)
            at_line_start = False
        elif kind not in ("space", "joined"):
            at_line_start = False
            source.tokens.append(Token(kind, word, line, directive, any(branches)))
        line += text.count("\n", match.start(), match.end())


def _directive(text, pos, line, source, branches):
    """Read a directive's name; returns it and where tokens go on."""
    name_match = re.compile(r"[ \t]*([A-Za-z_]*)").match(text, pos)
    name, end = name_match.group(1), name_match.end()
    rest = re.compile(r"(?:\\\r?\n|[^\n])*").match(text, end).group()
    source.directives.append((line, name, rest.strip()))
    if name in ("if", "ifdef", "ifndef"):
        branches.append(0)
    elif name in ("else", "elif") and branches:
        branches[-1] += 1
    elif name == "endif" and branches:
        branches.pop()
    if name in ("include", "include_next"):
        header = re.match(r'[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', rest)
        if header:
            quoted = header.group(2) is not None
            source.includes.append(Include(line, header.group(1) or header.group(2), quoted))
            end += header.end()
    elif name in ("error", "warning", "pragma"):
        end += len(rest.split("/*")[0].rstrip("\n"))  # prose: apostrophes open nothing
    return name or "#", end


# ---- structure ---------------------------------------------------------------------------------


def match_group(tokens, start):
    """Index just after the group that opens at `start`."""
    depth = 0
    for i in range(start, len(tokens)):
        if tokens[i].text in OPEN and tokens[i].kind == "punct":
            depth += 1
        elif tokens[i].text in CLOSE and tokens[i].kind == "punct":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(tokens)


def _find_structure(source):
    tokens = [t for t in source.tokens if not t.directive and not t.alternative]
    head = []  # the declaration so far, groups included
    i = 0
    while i < len(tokens):
        t = tokens[i]
        if t.kind == "punct" and t.text == ";":
            if head:
                source.declarations.append(head)
            head, i = [], i + 1
        elif t.kind == "punct" and t.text == "{":
            if [h.text for h in head[:1]] == ["extern"] and head[-1].kind == "string":
                head, i = [], i + 1  # extern "C": its contents are at file scope
                continue
            end = match_group(tokens, i)
            name = _function_name(head)
            if name is None:
                head += tokens[i:end]
            else:
                last = tokens[end - 1].line
                body = tuple(tokens[i + 1:end - 1])
                source.functions.append(Function(name.text, name.line, last, body))
                head = []
            i = end
        elif t.kind == "punct" and t.text == "}":
            head, i = [], i + 1
        elif t.kind == "punct" and t.text in OPEN:
            end = match_group(tokens, i)
            head += tokens[i:end]
            i = end
        else:
            head.append(t)
            i += 1


def _function_name(head):
    """The token naming the function whose body follows `head`, or None if no body follows."""
    if not head or head[0].text == "typedef":
        return None
    i = 0
    name = None
    while i < len(head):
        t = head[i]
        if t.text == "=" and t.kind == "punct":
            return None
        if t.text in ("struct", "union", "enum") and i + 1 < len(head):
            i += 1
            while i < len(head) and head[i].text in WITH_GROUP:
                i = match_group(head, i + 1)
            i += 1  # the tag
            continue
        if t.kind == "ident" and i + 1 < len(head) and head[i + 1].text == "(":
            end = match_group(head, i + 1)
            if t.text not in WITH_GROUP and t.text not in TYPEOF and name is None:
                name = t
            i = end
            continue
        i += 1
    if name is not None and name.text.isupper():
        # A macro before the declarator, `EXPORT(x) int f(void) {`: the last call names it.
        calls = [h for h, n in zip(head, head[1:]) if h.kind == "ident" and n.text == "("
                 and h.text not in WITH_GROUP]
        depth_zero = [h for h in calls if _depth_at(head, h) == 0]
        return depth_zero[-1] if depth_zero else name
    return name


def _depth_at(tokens, wanted):
    depth = 0
    for t in tokens:
        if t is wanted:
            return depth
        if t.kind == "punct" and t.text in OPEN:
            depth += 1
        elif t.kind == "punct" and t.text in CLOSE:
            depth -= 1
    return depth


# ---- variables ---------------------------------------------------------------------------------


def _static_locals(body):
    found = []
    i = 0
    while i < len(body):
        t = body[i]
        if t.text == "static" and t.kind == "ident" and not (i and body[i - 1].text == "["):
            declaration = []
            while i < len(body) and body[i].text != ";":
                end = match_group(body, i) if body[i].text in OPEN else i + 1
                declaration += body[i:end]
                i = end
            found += _variables(declaration)
        i += 1
    return found


def _variables(declaration):
    tokens = _without_attributes(list(declaration))
    tokens = _without_macro_calls(tokens)
    if not tokens or tokens[0].text in ("typedef", "_Static_assert", "static_assert"):
        return []
    specifiers, i = _specifiers(tokens)
    is_const = any(s.text == "const" for s in specifiers)
    is_thread_local = any(s.text in ("_Thread_local", "__thread", "thread_local")
                          for s in specifiers)
    found = []
    for declarator in _split_declarators(tokens[i:]):
        variable = _declared_object(declarator, is_const, is_thread_local)
        if variable:
            found.append(variable)
    return found


def _without_attributes(tokens):
    kept = []
    i = 0
    while i < len(tokens):
        if tokens[i].text in WITH_GROUP and i + 1 < len(tokens) and tokens[i + 1].text == "(":
            i = match_group(tokens, i + 1)
        else:
            kept.append(tokens[i])
            i += 1
    return kept


def _without_macro_calls(tokens):
    """Drop calls that stand alone, as in `DEFINE_LIST(conn) static int x;`."""
    while (len(tokens) > 2 and tokens[0].kind == "ident" and tokens[0].text not in BASIC_TYPES
           and tokens[1].text == "(" and tokens[2].text != "*"):
        tokens = tokens[match_group(tokens, 1):]
    return tokens


def _specifiers(tokens):
    """Split `static const struct x { … }` off the declarators; returns it and where they start."""
    specifiers = []
    has_type = False
    i = 0
    while i < len(tokens):
        t = tokens[i]
        if t.text in STORAGE or t.text in QUALIFIERS:
            specifiers.append(t)
            i += 1
            if t.text == "_Atomic" and i < len(tokens) and tokens[i].text == "(":
                i, has_type = match_group(tokens, i), True
        elif t.text in ("struct", "union", "enum"):
            i += 1
            if i < len(tokens) and tokens[i].kind == "ident":
                i += 1
            if i < len(tokens) and tokens[i].text == "{":
                i = match_group(tokens, i)
            has_type = True
        elif t.text in TYPEOF:
            i = match_group(tokens, i + 1) if t.text != "__auto_type" else i + 1
            has_type = True
        elif t.text in BASIC_TYPES:
            has_type = True
            i += 1
        elif t.kind == "ident" and not has_type:
            # A capitalised word before another type is a macro such as PEERUP_API.
            has_type = not (t.text.isupper() and _type_follows(tokens, i + 1))
            i += 1
        else:
            break
    return specifiers, i


def _type_follows(tokens, i):
    if i + 1 >= len(tokens) or tokens[i].kind != "ident":
        return False
    word, following = tokens[i].text, tokens[i + 1]
    return (word in BASIC_TYPES or word in STORAGE or word in QUALIFIERS
            or word in ("struct", "union", "enum")
            or following.kind == "ident" or following.text == "*")


def _split_declarators(tokens):
    parts = [[]]
    i = 0
    in_initializer = False
    while i < len(tokens):
        t = tokens[i]
        if t.text == "," and t.kind == "punct":
            parts.append([])
            in_initializer = False
            i += 1
            continue
        if t.text == "=" and t.kind == "punct":
            in_initializer = True
        end = match_group(tokens, i) if t.kind == "punct" and t.text in OPEN else i + 1
        if not in_initializer:
            parts[-1] += tokens[i:end]
        i = end
    return [p for p in parts if p]


def _declared_object(declarator, is_const, is_thread_local):
    """The variable that a declarator names, or None where it names a function."""
    for i, t in enumerate(declarator):
        if t.kind != "ident" or t.text in QUALIFIERS or t.text in STORAGE:
            continue
        if i + 1 < len(declarator) and declarator[i + 1].text == "(":
            return None
        before = [d.text for d in declarator[:i]]
        if "*" in before:
            last_star = len(before) - 1 - before[::-1].index("*")
            is_const = "const" in before[last_star:]
        return Variable(t.text, t.line, is_const, is_thread_local)
    return None
