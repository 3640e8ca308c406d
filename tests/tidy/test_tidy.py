#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each check of tidy.py refuses and accepts what it should: a check gone blind fails here."""

import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import rules
import tidy
from csource import read_c, variables_of

H = "/* SPDX-License-Identifier: MIT */\n#pragma once\n"
C = "/* SPDX-License-Identifier: MIT */\n"


def tree(files):
    return tidy.Tree({path: text if isinstance(text, bytes) else text.encode()
                      for path, text in files.items()})


def includes(*names):
    return C + "".join(f'#include "{n}"\n' if n[0] != "<" else f"#include {n}\n" for n in names)


def code(text, path="transport/a.c"):
    return {path: C + text}


def page(kind, *names):
    rows = "".join(f"| `{n}` | what it is |\n" for n in names)
    return f"# Page\n\n<!-- table: {kind} -->\n\n| name | what |\n|---|---|\n{rows}\n| `not one` |\n"


ERRORS = H + """
#define ERR_TABLE(X)                                                \\
    X(ERR_LIMIT, 4097, 507, 1, "a limit was reached, see (X)")      \\
    X(PROTO, 4098, 502, 1,     "the peer broke the protocol")
#define OTHER(X) X(NOT_AN_ERROR, 1)
"""
COMMANDS = C + """
static const struct command commands[] = {
    {"init", cmd_init, "make a configuration"},
    {.run = cmd_auth, .name = "auth " "add"},
    {NULL, NULL, NULL},
};
"""
ROUTES = C + """
const struct api_route api_routes[] = {
    [0] = {.method = "GET", .path = "/v1/status", .handler = status},
    ROUTE("POST", "/v1/connect", connect_peer),
};
"""

# check: (fixtures that it must refuse, with the line; fixtures that it must accept)
FIXTURES = {
    tidy.check_arrows: (
        [
            ({"core/a.c": includes("uring/b.h"), "uring/b.h": H}, 2),
            ({"relay/a.c": includes("dht/b.h"), "dht/b.h": H}, 2),
            ({"dht/a.c": includes("relay/b.h"), "relay/b.h": H}, 2),
            ({"cli/a.c": includes("transport/b.h"), "transport/b.h": H}, 2),
            ({"cli/a.c": includes("<peerup/peerup.h>"), "include/peerup/peerup.h": H}, 2),
            ({"transport/a.c": includes("<stdio.h>", "<ctl/b.h>"), "ctl/b.h": H}, 3),
            ({"transport/proto/a.c": includes("uring/b.h"), "uring/b.h": H}, 2),
            ({"transport/proto/a.c": includes("transport/b.h"), "transport/b.h": H}, 2),
            ({"relay/proto/a.c": includes("dht/proto/b.h"), "dht/proto/b.h": H}, 2),
            ({"core/base/a.c": includes("b.h"), "core/base/b.h": H}, 2),
            ({"core/p2p/a.c": includes("core/base/b_internal.h"), "core/base/b_internal.h": H}, 2),
            ({"core/a.c": includes("core/b.c"), "core/b.c": C}, 2),
            ({"core/a.c": includes("tests/b.h"), "tests/b.h": H}, 2),
            ({"include/peerup/peerup.h": H + '#include "core/b.h"\n', "core/b.h": H}, 3),
            ({"bench/a.c": includes("tests/b.h"), "tests/b.h": H}, 2),
        ],
        [
            {"cli/a.c": includes("ctl/b.h", "core/c.h"), "ctl/b.h": H, "core/c.h": H},
            {"ctl/a.c": includes("<peerup/peerup.h>"), "include/peerup/peerup.h": H},
            {"relay/proto/a.c": includes("transport/proto/b.h", "core/c.h"),
             "transport/proto/b.h": H, "core/c.h": H},
            {"uring/a.c": includes("uring/a_internal.h"), "uring/a_internal.h": H},
            {"tests/unit/core/a.c": includes("cli/b.h"), "cli/b.h": H},
            {"bench/a.c": includes("bench/b.h", "uring/c.h"), "bench/b.h": H, "uring/c.h": H},
            {"core/a.c": C + '/* #include "uring/b.h" */\n', "uring/b.h": H},
        ],
    ),
    tidy.check_cycles: (
        [
            ({"core/a.h": H + '#include "core/b.h"\n', "core/b.h": H,
              "core/b.c": includes("core/b.h", "core/a.h")}, 3),
            ({"core/x/a.h": H, "core/x/a.c": includes("core/x/a.h", "core/y/b.h"),
              "core/y/b.h": H + '#include "core/y/c.h"\n', "core/y/c.h": H,
              "core/y/c.c": includes("core/y/c.h", "core/x/a.h")}, 3),
            ({"uring/r.h": H, "uring/r.c": includes("uring/r.h", "uring/back.h"),
              "uring/r_internal.h": H, "uring/back.h": H,
              "uring/back.c": includes("uring/back.h", "uring/r_internal.h")}, 3),
        ],
        [
            {"core/a.h": H + '#include "core/b.h"\n', "core/b.h": H,
             "core/b.c": includes("core/b.h"), "core/a.c": includes("core/a.h", "core/b.h")},
            # One module of two sources that share its internal header.
            {"core/a.h": H, "core/a_internal.h": H + '#include "core/a.h"\n',
             "core/a.c": includes("core/a.h", "core/a_part.h"), "core/a_part.h": H,
             "core/a_part.c": includes("core/a_part.h", "core/a_internal.h")},
        ],
    ),
    tidy.check_own_header: (
        [
            ({"core/a.h": H, "core/a.c": includes("<stdio.h>", "core/a.h")}, 2),
            ({"core/a.h": H, "core/a.c": C + "int x(void);\n"}, 1),
            ({"core/a.h": H, "core/b.h": H, "core/a.c": includes("core/b.h", "core/a.h")}, 2),
        ],
        [
            {"core/a.h": H, "core/a.c": includes("core/a.h", "<stdio.h>")},
            {"cli/main.c": includes("<stdio.h>")},
        ],
    ),
    tidy.check_headers: (
        [
            ({"core/a.h": C + "int x(void);\n"}, 1),
            ({"core/a.h": C + "#ifndef A_H\n#define A_H\n#endif\n"}, 2),
            ({"tests/a.h": C + "#include <stdio.h>\n#pragma once\n"}, 2),
        ],
        [
            {"core/a.h": C + "\n/* what it is */\n#pragma once\n", "core/a.c": C},
            {"third_party/x/config.h": C + "#define X 1\n"},
        ],
    ),
    tidy.check_licence: (
        [
            ({"core/a.c": "\n" + C}, 1),
            ({"tests/a.h": "#pragma once\n"}, 1),
            ({"bench/a.c": "// SPDX-License-Identifier: MIT\n"}, 1),
        ],
        [{"core/a.c": C}, {"docs/x.md": "# no licence needed\n"}],
    ),
    tidy.check_third_party: (
        [
            ({"transport/dial.c": includes("<ngtcp2/ngtcp2.h>")}, 2),
            ({"core/conf/schema.c": includes("<yaml.h>")}, 2),
            ({"core/a.c": includes("<criterion/criterion.h>")}, 2),
            ({"bench/a.c": includes("<criterion/criterion.h>")}, 2),
            ({"core/a.c": includes("<openssl/evp.h>")}, 2),
            ({"tests/a.c": includes("<openssl/evp.h>")}, 2),
        ],
        [
            {"core/conf/yaml.c": includes("<yaml.h>")},
            {"tests/unit/a.c": includes("<criterion/criterion.h>", "<wolfssl/ssl.h>")},
            {"core/a.c": includes("<stdio.h>", "<sys/types.h>", "<linux/if.h>")},
            {"ctl/a.c": includes("<peerup/peerup.h>"), "include/peerup/peerup.h": H},
        ],
    ),
    tidy.check_node: (
        [
            (code("struct node;\n"), 2),
            (code("\nvoid f(const struct node *n);\n", "cli/a.c"), 3),
            (code("#define NODE struct node\n"), 2),
        ],
        [
            code("struct node { int x; };\n", "ctl/node.c"),
            code("struct node_id; struct kad_node *f(int node);\n"),
            code("struct node *n;\n", "tests/a.c"),
            code("/* struct node */ static const char *const s = \"struct node\";\n"),
        ],
    ),
    tidy.check_globals: (
        [
            (code("int x;\n"), 2),
            (code("static struct a { int b; } c = { 1 };\n"), 2),
            (code("static const char *names[] = { \"a\" };\n"), 2),
            (code("extern int x;\n", "core/a.h"), 2),
            (code("int f(void) {\n    static unsigned count = 0;\n    return ++count;\n}\n"), 3),
            (code("static _Thread_local struct reactor *current;\n"), 2),
            (code("static int (*hook)(int);\n"), 2),
            (code("hook_result (*hook)(int);\n"), 2),
            (code("static const int a = 1;\nstatic const char *const b = 0, *c;\n"), 3),
            (code("LIST_HEAD(conns)\nstatic _Atomic(int) n;\n"), 3),
            (code("static WC_RNG rng;\n"), 2),
            (code("PEERUP_API struct x y;\n"), 2),
            (code("static int f(void) {\n}\nstatic uint8_t key[32];\n"), 4),
            (code("#if A\nint f(int a) {\n  if (a) {\n#else\nint f(void) {\n {\n#endif\n }\n}\n"
                  "int x;\n"), 11),
        ],
        [
            code("static const int a = 1, b[2] = { 1, 2 };\n"),
            code("static const char *const names[] = { \"a;b\", \"//\", \"{\" };\n"),
            code("struct a; struct b { int c; struct d *e; }; enum { F, G = sizeof(int) };\n"),
            code("typedef int (*hook_fn)(void *user);\nint f(int x), g(void);\n"),
            code("int (*f(void))(int);\nstatic int (*const hook)(int) = g;\n"),
            code("int f(int a[static 4]) {\n    int b = 0;\n    return a[b];\n}\n"),
            code("_Static_assert(sizeof(int) == 4, \"int\");\n"),
            code("__attribute__((format(printf, 1, 2))) void f(const char *, ...);\n"),
            code("PEERUP_API int f(void) __attribute__((pure));\nDEFINE_FREE(conn, conn_free)\n"),
            code("struct __attribute__((packed)) p { int a; };\nstatic struct p f(void) {\n}\n"),
            code("#ifdef __cplusplus\nextern \"C\" {\n#endif\nint f(void);\n#ifdef __cplusplus\n}\n"
                 "#endif\n", "core/a.h"),
            code("int x;\n", "tests/a.c"),
        ],
    ),
    tidy.check_owners: (
        [
            (code("void *f(void) {\n    return malloc(1);\n}\n"), 3),
            (code("#define NEW(x) calloc(1, sizeof(x))\n"), 2),
            (code("static const struct mem m = { .alloc = malloc, .free = NULL };\n"), 2),
            (code("void f(struct timespec *t) {\n    clock_gettime(0, t);\n}\n"), 3),
            (code("int f(void) {\n    return rand();\n}\n"), 3),
            (code("int f(void) {\n    return (socket)(1, 2, 3) + socket(1, 2, 3);\n}\n"), 3),
            (code("#if 1\n#else\nint x = time(NULL);\n#endif\n"), 4),
        ],
        [
            code("void *f(void) {\n    return malloc(1);\n}\n", "core/base/mem.c"),
            code("int f(void) {\n    return socket(1, 2, 3);\n}\n", "uring/tcp.c"),
            code("int f(void) {\n    return socket(1, 2, 3);\n}\n", "tests/a.c"),
            code("int f(struct x *x, nsec_t time) {\n    return x->send(x, time) + x->m.free(0);\n}\n"),
            code("/* malloc() */ static const char *const s = \"malloc(1)\";\n"),
            code("static int connect(struct x *x) {\n    return 0;\n}\nint g(struct x *x) {\n"
                 "    return connect(x);\n}\n"),
        ],
    ),
    tidy.check_banned: (
        [
            (code(f"void f(char *a) {{\n    {name}(a);\n}}\n", path), 3)
            for name in rules.BANNED_CALLS for path in ("core/a.c", "tests/a.c", "bench/a.c")
        ],
        [code("void f(struct x *x) {\n    x->gets(x); /* sprintf(a) */\n    snprintf(0, 0, \"\");\n}\n")],
    ),
    tidy.check_comments: (
        [
            (code("int f(void); // why\n"), 2),
            (code("/* a */ // b \\\n still b\n"), 2),
            (code("/* " + "TO" + "DO: all of it */\n"), 2),
            ({"CMakeLists.txt": "# FIX" + "ME\n"}, 1),
            ({"tests/a.c": C + "int x; /* X" + "XX */\n"}, 2),
        ],
        [
            code("static const char *const s = \"https://x\"; /* see http://y */\n"),
            code("static const char q = '\"'; static const char *const t = \"\\\"//\";\n"),
            code("static const char *const temporary = \"/tmp/a.XXXXXX\";\n"),
            code("#error don't // do that, it's a directive's text\n"),
            {"tests/vectors/a.json": "\"TO" + "DO\"\n"},
        ],
    ),
    tidy.check_strays: (
        [
            ({"core/a.c.orig": ""}, 1), ({"a.rej": ""}, 1), ({"core/.a.c.swp": ""}, 1),
            ({"core/a.c~": ""}, 1), ({"core/a.o": ""}, 1), ({"core.1234": ""}, 1),
            ({"tests/a.bin": b"\x7fELF\0"}, 1), ({"docs/a.md": "x" * ((1 << 20) + 1)}, 1),
            ({"crash-da39a3ee": ""}, 1),
        ],
        [
            {"tests/vectors/a.json": "x" * (1 << 21), "tests/fuzz/corpus/m/a": b"\0"},
            {"core/core.c": C, "docs/a.png": b"\x89PNG\0", "docs/b.md": "x" * (1 << 20)},
        ],
    ),
    tidy.check_foreign_names: (
        [
            ({"docs/a.md": "see /ho" + "me/bert/x\n"}, 1),
            ({"cmake/a.cmake": "set(A /ro" + "ot/x)\n"}, 1),
            ({"interop/.npmrc": "\nregistry=https://registry.example.net/npm\n"}, 2),
            ({"go.env": "GOPROXY=https://goproxy.example.net\n"}, 1),
            ({"a.lock": "http://packages.build.internal/x\n"}, 1),
            ({"docs/a.md": "Co-Authored-By: x\n"}, 1),
            ({"core/a.c": "/* gener" + "ated by an assis" + "tant */\n"}, 1),
        ],
        [
            {"docs/a.md": "in /home/alice/.config or ~/work/x, https://example.org/work/x\n"},
            {"package-lock.json": "https://registry.npmjs.org/ws/-/ws-8.0.0.tgz\n"},
            {"core/a.c": "/* the peer's agent version, by the user agent; generated by cmake */\n"},
        ],
    ),
    tidy.check_docs: (
        [
            ({"core/base/err.h": ERRORS, "docs/errors.md": page("errors", "ERR_LIMIT")}, 6),
            ({"core/base/err.h": ERRORS,
              "docs/errors.md": page("errors", "ERR_LIMIT", "ERR_PROTO", "ERR_GONE")}, 9),
            ({"cli/main.c": COMMANDS, "docs/man/p.md": page("commands", "init")}, 5),
            ({"cli/main.c": COMMANDS, "docs/p.md": page("commands", "auth add", "init", "x")}, 9),
            ({"ctl/api_table.c": ROUTES, "docs/api.md": page("routes", "POST /v1/connect")}, 4),
            ({"ctl/api_table.c": ROUTES, "docs/api.md": page("routes", "GET /v1/status")}, 5),
            ({"core/conf/schema.c": C + "const struct config_option options[] = {{\"a.b\", 1}};\n",
              "docs/c.md": page("options")}, 2),
            ({"ctl/metrics_export.c": C + "#define METRICS(X) \\\n  X(\"peerup_x\", COUNTER)\n",
              "README.md": page("metrics")}, 3),
        ],
        [
            {"core/base/err.h": ERRORS, "docs/errors.md": page("errors", "ERR_LIMIT", "ERR_PROTO")},
            {"cli/main.c": COMMANDS, "docs/p.md": page("commands", "auth add", "init")},
            {"ctl/api_table.c": ROUTES,
             "docs/api.md": page("routes", "GET /v1/status", "POST /v1/connect")},
            {"core/base/err.h": ERRORS},
            {"docs/errors.md": page("errors", "ERR_LIMIT")},
        ],
    ),
}


class Checks(unittest.TestCase):
    def test_every_check_has_fixtures_of_both_kinds(self):
        for check in tidy.CHECKS:
            self.assertIn(check, FIXTURES)
            refused, accepted = FIXTURES[check]
            self.assertTrue(refused and accepted, check.__name__)

    def test_every_check_refuses_what_it_should_at_the_right_line(self):
        for check, (refused, _) in FIXTURES.items():
            for files, line in refused:
                with self.subTest(check=check.__name__, files=files):
                    findings = list(check(tree(files)))
                    self.assertIn(line, [f.line for f in findings], findings)

    def test_every_check_accepts_what_it_should(self):
        for check, (_, accepted) in FIXTURES.items():
            for files in accepted:
                with self.subTest(check=check.__name__, files=files):
                    self.assertEqual(list(map(str, check(tree(files)))), [])

    def test_an_allowed_global_must_exist(self):
        with mock.patch.object(rules, "MUTABLE_GLOBALS", {("uring/a.c", "current"): "why"}):
            there = tree(code("static _Thread_local struct r *current;\n", "uring/a.c"))
            gone = tree(code("int f(void);\n", "uring/a.c"))
            self.assertEqual(list(tidy.check_globals(there)), [])
            self.assertEqual(len(list(tidy.check_globals(gone))), 1)
            self.assertEqual(list(tidy.check_globals(tree({}))), [])

    def test_what_is_not_yet_documented_is_said_and_passes(self):
        notes = []
        self.assertEqual(list(tidy.check_docs(tree({"core/base/err.h": ERRORS}), notes)), [])
        self.assertIn("docs: errors: not yet present in the documentation", notes)
        self.assertIn("docs: routes: not yet present in the source", notes)

    def test_each_owned_function_is_refused_elsewhere_and_accepted_from_its_owner(self):
        for row in rules.OWNED_CALLS:
            for name in row["names"].split():
                with self.subTest(name=name):
                    call = f"void f(void) {{\n    {name}(1);\n}}\n"
                    owner = row["owners"][0].replace("*", "tcp")
                    self.assertEqual(len(list(tidy.check_owners(tree(code(call))))), 1)
                    self.assertEqual(list(tidy.check_owners(tree(code(call, owner)))), [])

    def test_each_foreign_header_is_refused_elsewhere_and_accepted_from_its_owner(self):
        for prefix, owners in rules.THIRD_PARTY_HEADERS.items():
            with self.subTest(prefix=prefix):
                include = includes(f"<{prefix + 'x.h' if prefix.endswith('/') else prefix}>")
                owner = owners[0].replace("*", "x")
                self.assertEqual(len(list(tidy.check_third_party(tree({"dht/a.c": include})))), 1)
                self.assertEqual(list(tidy.check_third_party(tree({owner: include}))), [])


class Reading(unittest.TestCase):
    def test_functions_are_found_with_their_sizes_and_branches(self):
        source = read_c(C + "static struct a *\nf(int (*g)(void))\n{\n    if (g && g()) {\n"
                        "        return NULL;\n    }\n    return x ? y : z;\n}\n")
        (function,) = source.functions
        self.assertEqual((function.name, function.line, function.line_last), ("f", 3, 9))
        self.assertEqual(function.branches_count, 4)

    def test_a_static_in_a_nested_block_is_a_variable_with_static_lifetime(self):
        source = read_c("void f(void) { for (;;) { static const int a[] = { 1 }; static int b; } }")
        self.assertEqual([(v.name, v.is_const) for v in variables_of(source)],
                         [("a", True), ("b", False)])

    def test_an_unterminated_comment_or_string_ends_with_the_file(self):
        self.assertEqual(len(read_c("/* never closed\nint x;").comments), 1)
        self.assertEqual(read_c("\"never closed\nint x;").functions, [])

    def test_unbalanced_braces_do_not_stop_the_reader(self):
        for text in ("}}}", "{{{", "int f(void) {", "struct {", "((", "#if\n#endif\n#endif"):
            read_c(text)


class Sizes(unittest.TestCase):
    def test_growth_is_reported_with_its_change(self):
        def function(lines_count):
            return code("void f(void) {\n" + "    g();\n" * (lines_count - 2) + "}\n")

        now, before = tidy.sizes(tree(function(90))), tidy.sizes(tree(function(80)))
        report = tidy.size_report(now, before)
        self.assertEqual(report[0], "transport/a.c:2: size: f has 90 lines (was 80)")
        self.assertIn("1 functions over 70 lines (+0)", report[-1])
        self.assertIn("(+1)", tidy.size_report(now, {})[-1])
        self.assertEqual(tidy.sizes(tree(function(70))), {})

    def test_long_files_and_branching_functions_are_reported(self):
        body = "    if (a && b) {\n        c();\n    }\n" * 15
        large = tidy.sizes(tree({"core/a.c": "\n" * 1001,
                                 "core/b.c": "void f(void) {\n" + body + "}\n"}))
        self.assertIn(("file", "core/a.c"), large)
        self.assertIn(("branches", "core/b.c", "f"), large)


class Program(unittest.TestCase):
    def run_in(self, files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tidy.py")
            return subprocess.run([sys.executable, program, "--root", root],
                                  capture_output=True, text=True, check=False)

    def test_it_passes_with_status_0_and_fails_with_status_1(self):
        good = self.run_in({"core/a.c": C})
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        self.assertIn(f"tidy: {len(tidy.CHECKS)} checks passed, 0 failed", good.stdout)
        bad = self.run_in({"core/a.c": C + "int x; // y\n"})
        self.assertEqual(bad.returncode, 1)
        self.assertIn("core/a.c:2: comments: ", bad.stdout)
        self.assertIn("core/a.c:2: globals: x is a mutable global", bad.stdout)
        self.assertIn(f"tidy: {len(tidy.CHECKS) - 2} checks passed, 2 failed", bad.stdout)

    def test_an_empty_tree_is_an_error_and_not_a_pass(self):
        self.assertNotEqual(self.run_in({}).returncode, 0)


if __name__ == "__main__":
    unittest.main()
