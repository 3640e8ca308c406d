#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the first inputs of the fuzz targets from the known answers.

    tests/fuzz/seed.py VECTORS [TARGET...]

Writes tests/fuzz/corpus/TARGET/NAME for each vector of the folder VECTORS, and leaves files alone
that are already there: what a fuzzer found stays.
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def vectors(folder, name):
    with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
        return json.load(file)["vectors"]


def fields(folder, name, *wanted):
    """(vector's name and field, value) of the wanted fields, hexadecimal ones as bytes."""
    for index, vector in enumerate(vectors(folder, name)):
        for field in wanted:
            if field in vector:
                value = vector[field]
                is_text = field in ("text", "canonical_text") or field.startswith("peer_id_")
                is_text = is_text and field != "peer_id_bytes"
                yield (f"{index:02}-{vector['name']}-{field}",
                       value.encode() if is_text else bytes.fromhex(value))


def multiaddr(folder):
    yield from fields(folder, "multiaddr", "bytes", "text", "canonical_text")


def key(folder):
    yield from fields(folder, "keys", "public_key_protobuf", "private_key_protobuf", "text",
                      "peer_id_bytes", "peer_id_base58", "peer_id_cidv1_base32",
                      "peer_id_cidv1_base36")


def envelope(folder):
    yield from fields(folder, "envelopes", "envelope", "payload")
    # Scripts: an odd first byte, eight of sequence, a count, then length and bytes of each address.
    addrs = [a for _, a in fields(folder, "multiaddr", "bytes") if 0 < len(a) < 128]
    for start in range(0, len(addrs), 12):
        some = addrs[start:start + 4]
        script = bytes([1] + [0] * 7 + [len(some)])
        yield f"seal-{start:02}", script + b"".join(bytes([len(a)]) + a for a in some)


def tls_extension(folder):
    # The kind of script, then the extension's value or the host key.
    for title, value in fields(folder, "tls_certs", "extension_value"):
        yield title, b"\1" + value
    for title, value in fields(folder, "keys", "public_key_protobuf"):
        yield title, b"\2" + value
    yield "good", b"\3"


def identify_write(folder):
    addrs = [a for _, a in fields(folder, "multiaddr", "bytes") if 0 < len(a) < 128][:12]
    names = [b"/ipfs/ping/1.0.0", b"/ipfs/id/1.0.0"]
    script = bytes([len(addrs)]) + b"".join(bytes([len(a)]) + a for a in addrs)
    script += bytes([len(addrs[0])]) + addrs[0]
    yield "script", script + bytes([2]) + b"".join(bytes([len(n) - 1]) + n for n in names)


TARGETS = (multiaddr, key, envelope, tls_extension, identify_write)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, wanted = sys.argv[1], sys.argv[2:]
    for target in TARGETS:
        if wanted and target.__name__ not in wanted:
            continue
        corpus = os.path.join(HERE, "corpus", target.__name__)
        os.makedirs(corpus, exist_ok=True)
        seen = {open(os.path.join(corpus, name), "rb").read() for name in os.listdir(corpus)}
        for title, value in target(folder):
            path = os.path.join(corpus, re.sub(r"[^\w.]+", "-", title).strip("-"))
            if value not in seen and not os.path.exists(path):
                seen.add(value)
                with open(path, "wb") as file:
                    file.write(value)
        print(f"{target.__name__}: {len(os.listdir(corpus))} inputs")


if __name__ == "__main__":
    main()
