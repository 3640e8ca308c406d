# SPDX-License-Identifier: MIT
"""usage: generate.py [--check] DOCS-TABLES

Puts the tables that the program DOCS-TABLES prints between the marks

    <!-- begin generated: options -->      in Markdown
    .\\" begin generated: options          in man pages

and the `end generated` mark that follows.  With --check nothing is written, and a file that is out
of step is an error: build the target `docs` to mend it.
"""

import pathlib
import re
import subprocess
import sys

DOCS = pathlib.Path(__file__).parent
FILES = ["config.md", "cli.md", "errors.md", "man/peerup.1", "man/peerup.yaml.5"]
MARK = re.compile(
    r'^(?P<begin>(?:<!--|\.\\") begin generated: (?P<what>[\w-]+)(?: -->)?\n)'
    r'(?P<body>.*?)'
    r'^(?P<end>(?:<!--|\.\\") end generated)',
    re.MULTILINE | re.DOTALL,
)


def main(args):
    check = "--check" in args
    program = next(a for a in args if a != "--check")
    stale = []
    for name in FILES:
        path = DOCS / name
        form = "md" if name.endswith(".md") else "man"

        def table(match):
            body = subprocess.run([program, match["what"], form], check=True, text=True,
                                  stdout=subprocess.PIPE).stdout
            # Tables of Markdown end at a blank line.
            gap = "\n" if form == "md" else ""
            head = f"<!-- table: {match['what'].removeprefix('relay-')} -->\n" if gap else ""
            return match["begin"] + head + body + gap + match["end"]

        old = path.read_text()
        new = MARK.sub(table, old)
        if new == old:
            continue
        stale.append(name)
        if not check:
            path.write_text(new)
    if check and stale:
        print("out of step with the source, build the target docs: " + " ".join(stale))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
