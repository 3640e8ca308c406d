// SPDX-License-Identifier: MIT

// The protocols over raw streams, both parts of each: ../README.md, "The protocols of the peers".

import { createHash } from 'node:crypto'
import { peerIdFromString } from '@libp2p/peer-id'
import { byteStream } from '@libp2p/utils'

const PERF = '/perf/1.0.0'
const SUM = '/peerup-test/sum/1.0.0'
const REVERSE = '/peerup-test/reverse/1.0.0'
const RESET = '/peerup-test/reset/1.0.0'

const CHUNK = 64 << 10
const DIGEST = 32
const ANSWER_BYTES_MAX = 1 << 30
// More than all windows and queues between the two, so that a reset finds it under way.
const RESET_ANSWER_BYTES = 256 << 20
const READ_BUFFER_MAX = 64 << 20
const PING_BYTES = 32

/** What this peer served: the command "stats". */
export const counters = { sums: 0, sums_peak: 0, reverses: 0, resets: 0 }
let sumsNow = 0

function check (holds, what) {
  if (!holds) {
    throw new Error(what)
  }
}

/** A stream with reads that tell a reset from an end. */
class Bytes {
  constructor (stream, signal) {
    this.stream = stream
    this.signal = signal
    this.bytes = byteStream(stream, { maxBufferSize: READ_BUFFER_MAX })
  }

  async read () {
    const got = await this.bytes.read({ signal: this.signal })
    check(got != null || !['reset', 'aborted'].includes(this.stream.status), 'the stream was reset')
    return got?.subarray()
  }

  async readExactly (n) {
    return (await this.bytes.read({ bytes: n, signal: this.signal })).subarray()
  }

  async readLength () {
    return Number(Buffer.from(await this.readExactly(8)).readBigUInt64BE())
  }

  async drain (each = () => {}) {
    let got = 0
    for (let b = await this.read(); b != null; b = await this.read()) {
      each(b)
      got += b.byteLength
    }
    return got
  }

  async readAnswer () {
    const parts = []
    await this.drain(b => parts.push(b))
    return Buffer.concat(parts)
  }

  async write (data) {
    await this.bytes.write(data, { signal: this.signal })
  }

  async writeLength (n) {
    const head = Buffer.alloc(8)
    head.writeBigUInt64BE(BigInt(n))
    await this.write(head)
  }

  /** Each part is memory of its own: what is sent may wait in a queue. */
  async writeParts (size, part) {
    for (let block = 0, left = size; left > 0; block++, left -= CHUNK) {
      await this.write(part(Math.min(left, CHUNK), block))
    }
  }

  async writePattern (tag, size) {
    const hash = createHash('sha256')
    await this.writeParts(size, (n, block) => {
      const part = pattern(tag, block).subarray(0, n)
      hash.update(part)
      return part
    })
    return hash.digest()
  }

  async writeZeros (size) {
    await this.writeParts(size, n => new Uint8Array(n))
  }

  /** Ends the writing side. */
  async end () {
    await this.stream.close({ signal: this.signal })
  }
}

/** Differs from block to block, and from stream to stream by its tag. */
function pattern (tag, block) {
  const out = new Uint8Array(CHUNK)
  for (let i = 0; i < CHUNK; i++) {
    out[i] = tag ^ (i * 7) ^ (block * 31)
  }
  return out
}

// ---- serving

async function serveSum (s) {
  const announced = await s.readLength()
  counters.sums_peak = Math.max(counters.sums_peak, ++sumsNow)
  const hash = createHash('sha256')
  let got
  try {
    got = await s.drain(b => hash.update(b))
  } finally {
    sumsNow--
  }
  check(got === announced, 'another length than was announced')
  await s.write(hash.digest())
  await s.end()
  counters.sums++
}

async function serveReverse (s) {
  const size = await s.readLength()
  check(size <= ANSWER_BYTES_MAX, 'more than the largest answer')
  let digest
  try {
    digest = await s.writePattern(0, size)
  } catch (e) {
    counters.resets++
    throw e
  }
  await s.write(digest)
  await s.end()
  check(digest.equals(await s.readAnswer()), 'another digest')
  counters.reverses++
}

async function serveReset (s) {
  await s.readLength()
  throw new Error('a reset was asked for')
}

async function servePerf (s) {
  const down = await s.readLength()
  check(down <= ANSWER_BYTES_MAX, 'more than the largest answer')
  await s.drain()
  await s.writeZeros(down)
  await s.end()
}

/** Serves all; without `limit` with js-libp2p's own limits of streams a protocol. */
export async function serveProtocols (node, limit) {
  const streams = limit == null ? {} : { maxInboundStreams: limit, maxOutboundStreams: limit }
  const all = [[SUM, serveSum], [REVERSE, serveReverse], [RESET, serveReset], [PERF, servePerf]]
  for (const [protocol, serve] of all) {
    await node.handle(protocol, stream => {
      serve(new Bytes(stream)).catch(e => stream.abort(e))
    }, streams)
  }
  return { streams }
}

// ---- using

async function opened ({ node, streams }, c, protocol, signal) {
  const conn = node.getConnections(peerIdFromString(c.peer))[0]
  check(conn != null, 'no connection')
  return new Bytes(await conn.newStream(protocol, { signal, ...streams }), signal)
}

/** Runs `use` on a new stream, and resets what fails. */
async function using (peer, c, protocol, signal, use) {
  const s = await opened(peer, c, protocol, signal)
  try {
    return await use(s)
  } catch (e) {
    s.stream.abort(e)
    throw e
  }
}

/** A promise of all having arrived, for each of `count`. */
function barrier (count) {
  const { promise, resolve } = Promise.withResolvers()
  return () => {
    if (--count === 0) {
      resolve()
    }
    return promise
  }
}

async function all (count, one) {
  const results = await Promise.allSettled(Array.from({ length: count }, (_, i) => one(i)))
  const failed = results.filter(r => r.status === 'rejected')
  check(failed.length === 0, `${failed.length} failed, the first of them by: ${failed[0]?.reason}`)
}

/** No stream sends its bytes before all have sent their length: all are open at the same time. */
async function sum (peer, c, signal) {
  const together = barrier(c.count)
  await all(c.count, async tag => {
    let ready = false
    try {
      await using(peer, c, SUM, signal, async s => {
        await s.writeLength(c.size)
        ready = true
        await together()
        const digest = await s.writePattern(tag, c.size)
        await s.end()
        check(digest.equals(await s.readAnswer()), 'the answer is not the SHA-256')
      })
    } finally {
      if (!ready) {
        together()
      }
    }
  })
}

async function reverse (peer, c, signal) {
  await all(c.count, () => using(peer, c, REVERSE, signal, async s => {
    await s.writeLength(c.size)
    const hash = createHash('sha256')
    const tail = []
    let got = 0
    await s.drain(b => {
      const body = b.subarray(0, c.size - got)
      hash.update(body)
      got += body.byteLength
      tail.push(b.subarray(body.byteLength))
    })
    const digest = hash.digest()
    check(got === c.size && digest.equals(Buffer.concat(tail)), "the bytes and their SHA-256 don't agree")
    await s.write(digest)
    await s.end()
  }))
}

async function perf (peer, c, signal) {
  return await using(peer, c, PERF, signal, async s => {
    await s.writeLength(c.down)
    await s.writeZeros(c.up)
    const early = s.bytes.readBuffer.byteLength > 0
    await s.end()
    return { received: await s.drain(), early }
  })
}

async function pingPeer (peer, c, signal) {
  return await using(peer, c, '/ipfs/ping/1.0.0', signal, async s => {
    const rtts = []
    for (let i = 0; i < c.count; i++) {
      const ball = pattern(0, i).subarray(0, PING_BYTES)
      const start = performance.now()
      await s.write(ball)
      check(Buffer.from(await s.readExactly(PING_BYTES)).equals(ball), 'another answer')
      rtts.push(Math.round((performance.now() - start) * 1000))
    }
    await s.end()
    return { rtt_us: rtts }
  })
}

/** Resets a reverse in the midst of its answer. */
async function reset (peer, c, signal) {
  const s = await opened(peer, c, REVERSE, signal)
  await s.writeLength(RESET_ANSWER_BYTES)
  await s.readExactly(8)
  s.stream.abort(new Error('a reset was asked for'))
}

/** Writes zeros and reads to the end. */
async function open (peer, c, signal) {
  let s
  try {
    s = await opened(peer, c, c.proto, signal)
  } catch (e) {
    return { outcome: 'not opened', text: `${e}` }
  }
  await s.writeZeros(c.size)
  try {
    return { outcome: 'end', bytes: await s.drain() }
  } catch (e) {
    return { outcome: 'reset', text: `${e}` }
  }
}

export const COMMANDS = { ping: pingPeer, perf, sum, reverse, reset, open }
