# SPDX-License-Identifier: MIT
"""usage: gateway.py PROTOCOL OWN EXTERNAL: a home gateway that maps ports by PROTOCOL at its address
OWN, as if EXTERNAL were its address outside.

    pcp, natpmp     at UDP port 5351
    upnp            by SSDP and SOAP at TCP port 5000, with mappings that live for an hour
    upnp-permanent  the same, and knows only mappings that live for ever
    upnp-taken      the same, and another host has the ports that are asked for first
    upnp-drips, upnp-pours, upnp-elsewhere
                    describes itself a byte a second, without an end, or as another host

Prints "ready", and for each request that it grants "map udp 4001 4001" (the port outside, the one
inside) or "unmap udp 4001"; whoever reads that does the mapping.
"""

import contextlib
import http.server
import re
import socket
import struct
import sys
import threading
import time

PORT = 5351
SSDP_PORT, HTTP_PORT = 1900, 5000
PROTOCOLS = {17: "udp", 6: "tcp"}
PCP, NATPMP = 2, 0
UNSUPPORTED_VERSION = 1
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"


def tell(*words):
    print(*words, flush=True)


def answer_pcp(request, external, epoch):
    if len(request) != 60 or request[0] != PCP or request[1] != 1:
        return None
    lifetime = struct.unpack_from(">I", request, 4)[0]
    port = struct.unpack_from(">H", request, 40)[0]
    tell_of(lifetime, PROTOCOLS[request[36]], port)
    head = struct.pack(">BBBBII12x", PCP, 0x81, 0, 0, min(lifetime, 3600), epoch)
    return head + request[24:42] + struct.pack(">H", port) + bytes(10) + b"\xff\xff" + external


def tell_of(lifetime, protocol, port):
    tell(*(("map", protocol, port, port) if lifetime else ("unmap", protocol, port)))


def answer_natpmp(request, external, epoch):
    if request[0] != NATPMP:
        return struct.pack(">BBHI", NATPMP, 0x80, UNSUPPORTED_VERSION, epoch)
    op = request[1]
    if op == 0:
        return struct.pack(">BBHI", NATPMP, 0x80, 0, epoch) + external
    port, _, lifetime = struct.unpack_from(">HHI", request, 4)
    tell_of(lifetime, "udp" if op == 1 else "tcp", port)
    return struct.pack(">BBHIHHI", NATPMP, 0x80 + op, 0, epoch, port, port if lifetime else 0,
                       lifetime)


def serve_datagrams(answer, own, external):
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((own, PORT))
        tell("ready")
        while True:
            request, client = s.recvfrom(2000)
            said = answer(request, socket.inet_aton(external), int(time.monotonic() - began))
            if said is not None:
                s.sendto(said, client)


def description(place):
    return f"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>
<controlURL>/no</controlURL></service></serviceList>
<deviceList><device><serviceList><service><serviceType>{SERVICE}</serviceType>
<controlURL>{place}</controlURL></service></serviceList></device></deviceList></device></root>
""".encode()


def envelope(body):
    return ('<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
            f"<s:Body>{body}</s:Body></s:Envelope>").encode()


def fault(code):
    return 500, envelope("<s:Fault><detail><UPnPError><errorCode>"
                         f"{code}</errorCode></UPnPError></detail></s:Fault>")


class Igd(http.server.BaseHTTPRequestHandler):
    kind, external = "", ""
    taken = set()

    def log_message(self, *_):
        pass

    def _send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        place = "http://9.9.9.9/ctl" if self.kind == "upnp-elsewhere" else "/ctl"
        if self.kind not in ("upnp-drips", "upnp-pours"):
            self._send(200, description(place))
            return
        tell("described")
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                self.wfile.write(b" " if self.kind == "upnp-drips" else bytes(65536))
                if self.kind == "upnp-drips":
                    time.sleep(0.2)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        service, action = self.headers["SOAPAction"].strip('"').split("#")
        if self.path != "/ctl" or service != SERVICE:
            self._send(*fault(401))
            return
        self._send(*self._act(action, dict(re.findall(r"<(New\w+)>([^<]*)</", body))))

    def _act(self, action, values):
        if action == "GetExternalIPAddress":
            return 200, envelope("<u:GetExternalIPAddressResponse><NewExternalIPAddress>"
                                 f"{self.external}</NewExternalIPAddress>"
                                 "</u:GetExternalIPAddressResponse>")
        protocol, outside = values["NewProtocol"].lower(), values["NewExternalPort"]
        if action == "DeletePortMapping":
            tell("unmap", protocol, outside)
            return 200, envelope("<u:DeletePortMappingResponse/>")
        if values["NewInternalClient"] != self.client_address[0]:
            return fault(606)
        if self.kind == "upnp-permanent" and values["NewLeaseDuration"] != "0":
            return fault(725)
        if self.kind == "upnp-taken" and protocol not in self.taken:
            self.taken.add(protocol)
            return fault(718)
        tell("map", protocol, outside, values["NewInternalPort"])
        return 200, envelope("<u:AddPortMappingResponse/>")


def answer_searches(s, own):
    while True:
        request, client = s.recvfrom(2000)
        if request.startswith(b"M-SEARCH") and b"InternetGatewayDevice:1" in request:
            s.sendto(f"HTTP/1.1 200 OK\r\nST: whatever\r\nLocation: "
                     f"http://{own}:{HTTP_PORT}/desc.xml\r\n\r\n".encode(), client)


def serve_igd(kind, own, external):
    Igd.kind, Igd.external = kind, external
    server = http.server.ThreadingHTTPServer((own, HTTP_PORT), Igd)
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((own, SSDP_PORT))
        threading.Thread(target=answer_searches, args=(s, own), daemon=True).start()
        tell("ready")
        server.serve_forever()


def main(protocol, own, external):
    if protocol.startswith("upnp"):
        serve_igd(protocol, own, external)
    else:
        serve_datagrams({"pcp": answer_pcp, "natpmp": answer_natpmp}[protocol], own, external)


if __name__ == "__main__":
    main(*sys.argv[1:])
