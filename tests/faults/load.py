#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The load of a soak: bulk both ways, connections in every way of cells_churn, slow readers.

    load.py serve 8000                    a service for it, on a port of loopback
    load.py clients 9000 60 --seed 7      60 s of it through that port of loopback

For where soak.py cannot be itself, as in a network namespace: each connection that failed is a line
of JSON as soon as it did, and what came to its end is one more.  Times are those of the machine's
monotonic clock.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "support"))

from bed import MIB, expect  # noqa: E402
from cells_churn import CLIENTS, Service, drop  # noqa: E402
from peerup import Failed  # noqa: E402

STEP_S = 60
PAUSE_S = 0.5  # after a failure
LOAD = {"bulk": 2, "churn": 6, "slow": 3}  # workers of each kind
ERRORS = (Failed, OSError, EOFError, asyncio.TimeoutError)


async def bulk(rng, reader, writer):
    """Four to twelve MiB there and back, compared."""
    data = rng.randbytes(rng.randrange(4, 12) * MIB)

    async def send():
        writer.write(b"e" + data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    try:
        got = await reader.read(-1)
    finally:
        sending.cancel()
    expect(got == data, f"{len(got)} of {len(data)} bytes came back, or others")


async def slow(rng, reader, writer):
    """1 KiB/s of a download that never ends, for a while."""
    writer.write(b"d")
    for _ in range(rng.randrange(5, 25)):
        await reader.readexactly(1024)
        await asyncio.sleep(1)
    drop(writer, rng.random() < 0.5)


class Load:
    """failed(kind, name of what was played, when it began, the error)"""

    def __init__(self, seed, seconds, failed):
        self.rng, self.ends_at = random.Random(seed), time.monotonic() + seconds
        self.done, self.failed = Counter(), failed

    def running(self):
        return time.monotonic() < self.ends_at

    async def run(self, ports):
        await asyncio.gather(*(self._worker(kind, n, ports[n % len(ports)])
                               for kind, count in LOAD.items() for n in range(count)))

    async def _worker(self, kind, number, port):
        rng = random.Random(f"{self.rng.random()} {kind} {number}")
        while self.running():
            play = {"bulk": bulk, "slow": slow}.get(kind) or rng.choice(CLIENTS)
            await self._one(kind, play, rng, port)
            await asyncio.sleep(rng.random() / 2)

    async def _one(self, kind, play, rng, port):
        begun = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
            try:
                await asyncio.wait_for(play(rng, reader, writer), STEP_S)
                self.done[kind] += 1
            finally:
                writer.transport.abort()
        except ERRORS as e:
            self.failed(kind, play.__name__, begun, str(e) or type(e).__name__)
            await asyncio.sleep(PAUSE_S)


async def serve(port):
    service = Service()
    await service.start(port)
    print("listening", flush=True)
    await asyncio.Event().wait()


def say(**what):
    print(json.dumps(what), flush=True)


def tell_failed(kind, play, begun, error):
    say(kind=kind, play=play, begun=begun, failed=time.monotonic(), error=error)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    commands.add_parser("serve").add_argument("port", type=int)
    clients = commands.add_parser("clients")
    clients.add_argument("port", type=int)
    clients.add_argument("seconds", type=int)
    clients.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    if args.command == "serve":
        asyncio.run(serve(args.port))
    load = Load(args.seed, args.seconds, tell_failed)
    asyncio.run(load.run([args.port]))
    say(done=load.done)


if __name__ == "__main__":
    main()
