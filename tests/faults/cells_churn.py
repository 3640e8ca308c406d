# SPDX-License-Identifier: MIT
"""A thousand connections opened and dropped in every way that TCP knows."""

import asyncio
import random
import socket
import struct

from bed import MIB, Failed, descriptors, expect, rss, wait_until
from cells import cell

SEED = 20
CONNECTIONS, AT_ONCE = 1000, 40
TCP_ESTABLISHED = 1
STEP_S, ALL_S, DRAIN_S = 30, 240, 30
GROWTH_MAX = 16 * MIB  # chunks of which the kernel still holds a slab stay
TRIM_S = 25  # the reactor gives memory back 10 s after the traffic


def prepare_reset(writer):
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drop(writer, reset):
    if reset:
        prepare_reset(writer)
    writer.transport.abort()


class Service:
    """The first byte that a client sends says how its connection goes."""

    def __init__(self):
        self.open, self.server, self.port = set(), None, 0

    async def start(self, port=0):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 16)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        self.open.add(writer)
        try:
            await getattr(self, "_" + (await reader.read(1)).decode("ascii") + "_")(reader, writer)
        except OSError:
            pass
        writer.transport.abort()
        self.open.discard(writer)

    async def __(self, _reader, _writer):
        """The client said nothing."""

    async def _e_(self, reader, writer):
        """Echo to the end."""
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        await writer.drain()
        while writer.transport.get_write_buffer_size():
            await asyncio.sleep(0.01)

    async def _d_(self, _reader, writer):
        """A download that never ends."""
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()

    async def _r_(self, _reader, writer):
        """A reset after some bytes."""
        writer.write(bytes(100000))
        await writer.drain()
        prepare_reset(writer)

    async def _h_(self, reader, writer):
        """An answer after the client's end."""
        size = len(await reader.read(-1))
        writer.write(b"%08d" % size)
        writer.write_eof()
        await writer.drain()

    async def _s_(self, _reader, writer):
        """Nothing is read: what the client sends piles up, until it is gone."""
        writer.transport.pause_reading()
        s = writer.get_extra_info("socket")
        while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED:
            await asyncio.sleep(0.05)


async def c_silent(rng, _reader, writer):
    drop(writer, rng.random() < 0.5)


async def c_echo(rng, reader, writer):
    data = rng.randbytes(rng.randrange(1, 200000))

    async def send():
        writer.write(b"e" + data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    got = await reader.read(-1)
    await sending
    expect(got == data, f"{len(got)} of {len(data)} bytes came back, or others")


async def c_echo_dropped(rng, reader, writer):
    writer.write(b"e" + bytes(rng.randrange(1, 200000)))
    await reader.read(1000)
    drop(writer, rng.random() < 0.5)


async def c_download_dropped(rng, reader, writer):
    writer.write(b"d")
    await reader.readexactly(rng.randrange(1, 300000))
    drop(writer, rng.random() < 0.5)


async def c_reset_by_service(_rng, reader, writer):
    writer.write(b"r")
    try:
        got = await reader.read(-1)
    except ConnectionResetError:
        return
    raise Failed(f"an orderly end after {len(got)} bytes instead of a reset")


async def c_half_closed(rng, reader, writer):
    size = rng.randrange(0, 50000)
    writer.write(b"h" + bytes(size))
    writer.write_eof()
    answer = await reader.read(-1)
    expect(answer == b"%08d" % size, f"answer {answer!r} to {size} bytes")


async def c_half_closed_dropped(rng, _reader, writer):
    writer.write(b"h" + bytes(rng.randrange(0, 50000)))
    writer.write_eof()
    await writer.drain()
    drop(writer, rng.random() < 0.5)


async def c_upload_stalled(rng, _reader, writer):
    """Reset while nobody reads what it has sent."""
    writer.transport.set_write_buffer_limits(0)
    writer.write(b"s" + bytes(rng.randrange(1, 300000)))
    await writer.drain()
    drop(writer, reset=True)


CLIENTS = (c_silent, c_echo, c_echo_dropped, c_download_dropped, c_reset_by_service, c_half_closed,
           c_half_closed_dropped, c_upload_stalled)


async def one_client(number, port):
    rng = random.Random(SEED * CONNECTIONS + number)
    play = rng.choice(CLIENTS)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    try:
        await asyncio.wait_for(play(rng, reader, writer), STEP_S)
    except (Failed, OSError, EOFError, TimeoutError, asyncio.TimeoutError) as e:
        raise Failed(f"connection {number}, {play.__name__}: {e or type(e).__name__}") from None
    finally:
        writer.transport.abort()


async def churn(port, count):
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(number):
        async with places:
            await one_client(number, port)

    await asyncio.wait_for(asyncio.gather(*(in_turn(n) for n in range(count))), ALL_S)


async def churned(bed, watch):
    service = Service()
    await service.start()
    client = bed.client("client")
    daemon = bed.daemon({"work": service.port}, [client])
    port = client.proxy(daemon.addr, "work")
    processes = {"daemon": daemon.process, "proxy": client.proxies[0]}

    async def settled(counts):
        for _ in range(DRAIN_S * 20):
            now = {name: descriptors(p) for name, p in processes.items()}
            if now == counts and not service.open:
                return
            await asyncio.sleep(0.05)
        raise Failed(f"{DRAIN_S} s later: descriptors {now}, {counts} before; "
                     f"{len(service.open)} connections of the service are open")

    before = {name: descriptors(p) for name, p in processes.items()}
    await churn(port, 10)
    await settled(before)
    marks = {name: watch(p) for name, p in processes.items()}
    await churn(port, CONNECTIONS)
    await settled(before)
    await churn(port, 10)
    await settled(before)
    service.server.close()
    return processes, marks


@cell("churn", backends=True)
def a_thousand_connections_leave_nothing_behind(bed):
    asyncio.run(churned(bed, descriptors))


@cell("churn.memory", memory=True)
def a_thousand_connections_leave_no_memory_behind(bed):
    processes, before = asyncio.run(churned(bed, rss))

    def growth():
        return {name: rss(p) - before[name] for name, p in processes.items()}

    wait_until(lambda: all(g <= GROWTH_MAX for g in growth().values()), TRIM_S,
               f"{before} before: memory is given back")
    print(f"        {before} before, grown by {growth()}", flush=True)
