# SPDX-License-Identifier: MIT
"""usage: gateway.py PROTOCOL OWN EXTERNAL: a home gateway that maps ports by PROTOCOL, pcp or natpmp,
at OWN's port 5351, as if EXTERNAL were its address outside.

Prints "ready", and for each request that it grants "map udp 4001" or "unmap udp 4001"; whoever reads
that does the mapping.
"""

import socket
import struct
import sys
import time

PORT = 5351
PROTOCOLS = {17: "udp", 6: "tcp"}
PCP, NATPMP = 2, 0
UNSUPPORTED_VERSION = 1


def tell(lifetime, protocol, port):
    print("map" if lifetime else "unmap", protocol, port, flush=True)


def answer_pcp(request, external, epoch):
    if len(request) != 60 or request[0] != PCP or request[1] != 1:
        return None
    lifetime = struct.unpack_from(">I", request, 4)[0]
    port = struct.unpack_from(">H", request, 40)[0]
    tell(lifetime, PROTOCOLS[request[36]], port)
    head = struct.pack(">BBBBII12x", PCP, 0x81, 0, 0, min(lifetime, 3600), epoch)
    return head + request[24:42] + struct.pack(">H", port) + bytes(10) + b"\xff\xff" + external


def answer_natpmp(request, external, epoch):
    if request[0] != NATPMP:
        return struct.pack(">BBHI", NATPMP, 0x80, UNSUPPORTED_VERSION, epoch)
    op = request[1]
    if op == 0:
        return struct.pack(">BBHI", NATPMP, 0x80, 0, epoch) + external
    port, _, lifetime = struct.unpack_from(">HHI", request, 4)
    tell(lifetime, "udp" if op == 1 else "tcp", port)
    return struct.pack(">BBHIHHI", NATPMP, 0x80 + op, 0, epoch, port, port if lifetime else 0,
                       lifetime)


def main(protocol, own, external):
    answer = {"pcp": answer_pcp, "natpmp": answer_natpmp}[protocol]
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((own, PORT))
        print("ready", flush=True)
        while True:
            request, client = s.recvfrom(2000)
            said = answer(request, socket.inet_aton(external), int(time.monotonic() - began))
            if said is not None:
                s.sendto(said, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
