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


def quic_packet(_):
    # A clock, then a packet: long headers by first byte, version, IDs, token; then short ones.
    def long(first, version, token=b"", size=1200, dcid=b"\xaa" * 8, scid=b"\xbb" * 4):
        head = bytes([first]) + version.to_bytes(4, "big") + bytes([len(dcid)]) + dcid
        head += bytes([len(scid)]) + scid + bytes([len(token)]) + token + b"\x44\x90"
        return (b"\0" + head).ljust(size + 1, b"\0")

    yield "initial", long(0xc0, 1)
    yield "initial-with-token", long(0xc0, 1, b"token")
    yield "initial-with-retry-token", long(0xc0, 1, b"\xb7" + bytes(60))
    yield "initial-long-ids", long(0xc0, 1, dcid=b"\xaa" * 20, scid=b"\xbb" * 20)
    yield "initial-ids-too-long", long(0xc0, 1, dcid=b"\xaa" * 21)
    yield "initial-small", long(0xc0, 1, size=1199)
    yield "handshake", long(0xe0, 1, size=100)
    yield "other-version", long(0xc0, 0xff00001d, dcid=b"\xaa" * 255, scid=b"\xbb" * 255)
    yield "negotiation", long(0xc0, 0, size=60)
    yield "short", b"\0" + bytes([0x40]) + b"\xaa" * 60
    yield "stun", b"\0" + b"\0\1\0\0" + bytes(16)


def quic_pair(_):
    # Operations and operands, see step() in the target; bit 7 of an operation is the server's.
    ask = bytes([0x00, 0, 0x01, 200, 0x05, 0, 0x0b, 50, 0x83, 255, 0x84, 0])
    answer = bytes([0x81, 100, 0x85, 0, 0x0b, 50, 0x03, 255, 0x04, 0, 0x08, 0, 0x88, 0])
    lossy = bytes([0x09, 30, 0x0a, 100])
    yield "ask-and-answer", ask + answer
    yield "ask-and-answer-lossy", lossy + ask + answer
    yield "window-fills", bytes([0x80, 0, 0x0b, 9] + [0x81, 255, 0x0b, 20] * 12)
    yield "reset-while-full", bytes([0x00, 0, 0x80, 0] + [0x01, 255, 0x91, 255, 0x0b, 20] * 6
                                    + [0x07, 0, 0x0b, 9, 0x96, 0, 0x0c, 99])
    yield "many-streams", bytes([0x00, 0, 0x80, 0] * 8 + [0x0f, 0] + [0x02, 9, 0x92, 9] * 8
                                + [0x15, 0, 0xa5, 0, 0x38, 0, 0xc8, 0])
    yield "strangers", lossy + ask + bytes([0x0d, 10]) + bytes([0x40] * 60) + answer
    yield "released-with-its-end", bytes([0x00, 0, 0x01, 255, 0x05, 0, 0x08, 0, 0x09, 40, 0x0c, 9])


def circuit_msg(folder):
    yield from fields(folder, "relay_v2", "message")
    yield "zero-limit", bytes.fromhex("0802220408001000" "2864")
    yield "no-addresses", bytes.fromhex("08021a0208012864")


def frame(folder):
    # The limit, how many sizes of pieces and those, then the frame and what follows it.
    for title, value in fields(folder, "relay_v2", "delimited"):
        yield title, b"\x10\0\3\1\0\5" + value + b"next"
    yield "empty", b"\x10\0\0\0next"
    yield "padded", b"\x10\0\1\1\x85\0hello"
    yield "too-long", b"\x10\0\1\1\x81\x20"


def reserver(folder):
    # Operations and operands, see step() in the target.
    answers = [bytes([2, len(value)]) + value
               for _, value in fields(folder, "relay_v2", "message") if len(value) < 256]
    reservation = bytes([2, 12]) + bytes.fromhex("08021a060880a4a7da062864")
    yield "answers", b"".join(bytes([1, 0]) + one + bytes([0, 255]) for one in answers)
    yield "renewals", (bytes([1, 9]) + reservation + bytes([0, 255, 0, 255, 4, 0])) * 8
    yield "failures", b"".join(bytes([3, n % 3, 0, 255, 0, 40]) for n in range(20)) + reservation
    yield "changes", bytes([5, 1, 5, 200, 1, 0, 5, 0, 6, 0, 7, 0, 4, 0, 0, 255])


def noise(folder):
    # The kind: a responder or an initiator that reads, a payload, an open channel that reads.
    for index, vector in enumerate(vectors(folder, "noise")):
        one, two, three = (bytes.fromhex(vector[f"message{n}_framed"]) for n in (1, 2, 3))
        yield f"{index}-responder", b"\0" + one + three
        yield f"{index}-initiator", b"\1" + two
        yield f"{index}-payload", b"\2" + bytes.fromhex(vector["responder"]["payload"])
        yield f"{index}-record", b"\3" + bytes.fromhex(vector["transport"][0]["framed"])


def noise_pair(_):
    # A seed, then operations and operands, see step() in the target; bit 0 is the sender.
    shake = bytes([0, 0, 255, 4, 255, 1, 255, 5, 255, 0, 255, 4, 255])
    data = bytes([10, 20, 11, 30, 4, 3, 5, 255, 4, 255, 12, 255, 4, 99])
    yield "unharmed", shake + data
    yield "bytewise", bytes([0, 0, 255] + [4, 0] * 10 + [0, 255]) + data
    yield "harmed-handshake", bytes([0, 0, 255, 14, 70]) + shake[3:] + data
    yield "harmed-record", shake + data[:2] + bytes([14, 70]) + data


def websocket(_):
    # The role and the size of pieces, then the peer's bytes.
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    switch = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    request = b"GET / HTTP/1.1\r\nHost: a\r\n" + switch + key
    yield "request", b"\x0a" + request + b"Sec-WebSocket-Version: 13\r\n\r\n\x82\x80"
    yield "old-request", b"\x0a" + request + b"Sec-WebSocket-Version: 8\r\n\r\n"
    yield "page", b"\x0aGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "answer", (b"\x0bHTTP/1.1 101 Switching Protocols\r\n" + switch
                     + b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    yield "refusal", b"\x0bHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def ws_frames(_):
    # Bit 0 of the first byte: a client; bit 1: a script.  Then the size of pieces.
    mask = b"\x37\xfa\x21\x3d"
    yield "to-server", b"\0\2\x82\x85" + mask + b"\x7f\x9f\x4d\x51\x58\x89\x80" + mask
    yield "to-client", b"\1\2\x82\x03abc\x89\x02hi\x02\x01a\x8a\x00\x80\x01b\x88\x02\x03\xe8"
    yield "long", b"\1\xff\x82\x7e\x01\x00" + bytes(256) + b"\x82\x7f" + bytes(5) + b"\1\0\0" + bytes(99)
    yield "text", b"\1\2\x81\x03abc"
    yield "client-writes", bytes([3, 9, 5, 0x7f, 0x90, 0xbf, 0xf0, 0xc3, 1, 2, 3, 0xbf, 0xbf])
    yield "server-writes", bytes([2, 200, 5, 0x7f, 0x90, 0xbf, 0xc0, 0xc3, 1, 2, 3, 0xf0, 0xbf])


def tls_session(folder):
    # Our role and the kind, see the target: the handshake of go's, records, records that verify.
    def records(*inner):
        return b"\4" + b"".join(len(one).to_bytes(2, "big") + one for one in inner)

    for vector in vectors(folder, "transcripts"):
        if "tls" not in vector["name"]:
            continue
        for side, first in (("dialer", b"\0"), ("listener", b"\1")):
            said = b"".join(bytes.fromhex(chunk["bytes"]) for chunk in vector["chunks"][2:8]
                            if chunk["from"] == side)
            yield f"{side}-handshake", first + said[said.index(b"\x16\3"):]
    yield "alert", bytes([1, 21, 3, 3, 0, 2, 2, 49])
    yield "http", b"\0GET / HTTP/1.1\r\n"
    yield "record", bytes([2, 23, 3, 3, 0, 20]) + bytes(20)
    yield "data", records(b"hi\x17", b"\x17", b"hi\x17\0\0")
    yield "goodbye", records(b"hi\x17", b"\1\0\x15", b"hi\x17")
    yield "broken-off", records(b"\2\x31\x15")
    yield "keys", records(b"\x18\0\0\1\1\x16", b"hi\x17")
    yield "ticket", records(b"\4\0\0\5he\x16", b"llo\x16", b"hi\x17")


def tls_pair(_):
    # How many records a key lasts on each side, then operations and operands, see step().
    shake = bytes([6, 0, 0x86, 0] * 3)
    yield "unharmed", b"\0" + shake + bytes([0, 99, 0x80, 9, 2, 50, 3, 9, 6, 0, 0x86, 0, 4, 0, 6, 0])
    yield "bytewise", b"\0" + bytes([2, 1] * 40) + shake
    yield "keys", b"\x23" + shake + bytes([9, 200, 0x89, 90, 6, 0, 0x86, 0] * 4)
    yield "harmed-handshake", b"\0" + bytes([6, 0, 0x85, 60]) + shake
    yield "harmed-record", b"\0" + shake + bytes([1, 50, 5, 70, 6, 0, 0x86, 0])


def yamux(folder):
    # The role of who hears it (1: the server), how it is cut, and what a peer says.
    for vector in vectors(folder, "yamux"):
        said = bytes.fromhex(vector["bytes"])
        yield vector["name"] + "-client", b"\0\3" + said
        yield vector["name"] + "-server", b"\1\3" + bytes.fromhex("000100010000000100000000") + said
    for index, vector in enumerate(vectors(folder, "transcripts")):
        for role, side in enumerate(("listener", "dialer")):
            said = b"".join(bytes.fromhex(chunk["bytes"]) for chunk in vector["chunks"]
                            if chunk["from"] == side)
            start = said.find(bytes.fromhex("000200010000000000000000"))
            if start >= 0:
                yield f"conversation-{index}-{side}", bytes([role, 20]) + said[start:]
    frame = bytes.fromhex("0000000100000001") + (3000).to_bytes(4, "big") + bytes(3000)
    yield "body-in-pieces", b"\1\x50" + frame + bytes.fromhex("000100040000000100000000")


def yamux_pair(_):
    # The allocation that fails, then operations and operands, see step() in the target.
    ask = bytes([0x00, 0, 0x01, 200, 0x05, 0, 0x0f, 0, 0x83, 255, 0x84, 0])
    answer = bytes([0x81, 100, 0x85, 0, 0x8f, 0, 0x03, 255, 0x04, 0, 0x08, 0, 0x88, 0])
    yield "ask-and-answer", b"\0" + ask + answer
    yield "ask-and-answer-in-crumbs", b"\0" + bytes([0x09, 1]) + ask + answer
    yield "without-memory", b"\x15" + ask + answer
    yield "window-fills", b"\0" + bytes([0x80, 0, 0x0b, 9] + [0x81, 255, 0x0b, 20] * 12)
    yield "reset-while-full", b"\0" + bytes([0x00, 0, 0x80, 0] + [0x01, 255, 0x91, 255, 0x0b, 20] * 6
                                            + [0x07, 0, 0x0b, 9, 0x96, 0, 0x0c, 99])
    yield "many-streams", b"\0" + bytes([0x00, 0, 0x80, 0] * 8 + [0x0b, 0] + [0x02, 9, 0x92, 9] * 8
                                        + [0x15, 0, 0xa5, 0, 0x38, 0, 0xc8, 0])
    yield "closed-with-streams", b"\0" + ask + bytes([0x8d, 77]) + answer
    yield "released-with-its-end", b"\0" + bytes([0x00, 0, 0x01, 255, 0x05, 0, 0x08, 0, 0x0c, 9])


def dcutr(folder):
    # Role and options, then operations and operands, see step() in the target.
    said = {v["name"]: bytes.fromhex(v["message"]) for v in vectors(folder, "dcutr")}
    connect, sync = (bytes([0, len(said[n])]) + said[n] for n in ("connect-tcp-and-quic", "sync"))
    attempt = bytes([1, 0]) + connect + bytes([5, 10, 5, 200])
    yield "acceptor", b"\4" + connect + sync + bytes([5, 20, 6, 0])
    yield "acceptor-sync-first", b"\4" + sync
    yield "acceptor-connect-twice", b"\4" + connect * 2
    yield "opener", b"\x0d" + attempt + bytes([6, 0])
    yield "opener-three-attempts", b"\5" + attempt * 3 + bytes([3, 0])
    yield "opener-refused", b"\x0d" + bytes([2, 9, 5, 19, 5, 1])
    yield "public-only", b"\0" + connect
    yield "nothing-to-tell", b"\x0b" + bytes([4, 0])


def stun(_):
    # Answers to the transaction that the target's client began.
    head = bytes.fromhex("2112a442") + bytes(range(12))
    mapped, plain = bytes.fromhex("002000080001f523ea12d547"), bytes.fromhex("00010008000100507f000001")
    other = bytes.fromhex("802c000800010d97c0000201")
    yield "request", b"\0\1\0\0" + head
    yield "request-change", b"\0\1\0\x08" + head + bytes.fromhex("0003000400000006")
    yield "success", b"\1\1\0\x0c" + head + mapped
    yield "success-other", b"\1\1\0\x24" + head + plain + mapped + other
    yield "refusal", b"\1\x11\0\x10" + head + bytes.fromhex("0009000400000414000a000200240000")
    yield "fingerprint", bytes.fromhex(
        "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
        "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96")


def observed(folder):
    # A connection, its place, and what it sees of us: see the target.
    def say(conn, place, ip, port):
        addr = bytes([4]) + bytes(ip) + b"\x91\x02" + port.to_bytes(2, "big") + b"\xcd\x03"
        return bytes([conn, place, len(addr)]) + addr

    four = b"".join(say(i, 12 * i, (8, 8, 8, 8), 700) for i in range(4))
    yield "agreed", four + bytes([2, 0, 0])
    yield "divided", b"".join(say(i, 12 * i, (8, 8, 8, 8), 700 + i) for i in range(6))
    for index, (_, addr) in enumerate(fields(folder, "multiaddr", "bytes")):
        if index % 10 == 0 and 0 < len(addr) < 128:
            yield f"addr-{index:02}", bytes([1, index, len(addr)]) + addr


def autonat(folder):
    # 0: a message; 1: a probe's script; 2: a server's, see the target.
    said = {v["name"]: bytes.fromhex(v["message"]) for v in vectors(folder, "autonat")
            if "message" in v}
    for name, body in said.items():
        yield name, b"\0" + body

    def hear(*names):
        return b"".join(bytes([0, len(said[n])]) + said[n] for n in names)

    own = bytes.fromhex("0a130a080405060708060fa1110807060504030201")
    foreign = bytes.fromhex("0a130a080409090909060fa1110807060504030201")
    ask, nonce = bytes([1, 0]), bytes([3, 0])
    wanted, found = "v2-dial-data-request-idx0-40000", "v2-response-ok-idx0-public"
    yield "probe-reached", b"\1" + ask + nonce + hear(found)
    yield "probe-paid", b"\1" + ask + hear(wanted) + ask * 11 + hear(found) + nonce
    yield "probe-unproved", b"\1" + ask + hear(found) + bytes([2, 51])
    yield "probe-silent", b"\1" + ask + bytes([2, 255, 2, 255])
    yield "server-own", b"\2" + bytes([0, len(own)]) + own + bytes([3, 0])
    yield "server-foreign", (b"\2" + bytes([0, len(foreign)]) + foreign + bytes([1, 0]) * 26
                             + bytes([2, 150, 3, 0]))


def pcp(_):
    # Options, then operations and operands, see step() in the target.  The nonce is 00 01 ... 0b.
    def hear(text):
        said = bytes.fromhex(text)
        return bytes([0, len(said)]) + said

    mapped = ("028100%s00001c20%s" + "00" * 12 + "000102030405060708090a0b" + "11000000"
              + "0fa10fa1" + "00" * 10 + "ffff08080808")
    ok, refused = hear(mapped % ("00", "00000e10")), hear(mapped % ("02", "00000e10"))
    reborn = hear(mapped % ("00", "00000001"))
    old, address = hear("0081000100000e10"), hear("0080000000000e1008080808")
    natpmp = hear("0081000000000e100fa10fa100001c20")
    send, sleep, hour, close = bytes([1, 0]), bytes([2, 60]), bytes([2, 255]) * 16, bytes([3, 0])
    yield "pcp", b"\0" + send + ok + hour + send + ok + close + send
    yield "pcp-reborn", b"\0" + send + ok + hour + send + reborn + send
    yield "pcp-refused", b"\0" + send + refused + hour + send
    yield "pcp-other-version", b"\0" + send + hear("0181000100000000" + "00" * 16) + send
    yield "natpmp", b"\0" + send + old + send * 2 + address + natpmp + hour + send + natpmp + close + send
    yield "silence", b"\0" + (send + sleep) * 40
    yield "ipv6", b"\1" + send + old + hour + send


TARGETS = (multiaddr, key, envelope, tls_extension, identify_write, circuit_msg, frame, quic_packet,
           quic_pair, noise, noise_pair, reserver, tls_session, tls_pair, websocket, ws_frames,
           yamux, yamux_pair, dcutr, stun, observed, autonat, pcp)


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
