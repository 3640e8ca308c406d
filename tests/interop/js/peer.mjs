// SPDX-License-Identifier: MIT

// The js-libp2p test peer: one transport stack, driven by JSON lines (../README.md).

import './node20.mjs'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify, identifyPush } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { COMMANDS, counters, serveProtocols } from './protocols.mjs'

const RAISED_STREAMS = 4096
const RAISED_RATE = 1e6

const LACKS = {
  quic: {
    'read-reset': "js's QUIC reads an end where a stream was reset"
  }
}

function write (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function parseFlags () {
  // Flags have one dash, as those of the other peers.
  const args = process.argv.slice(2).map(a => /^-[a-z]/.test(a) ? `-${a}` : a)
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string' },
      listen: { type: 'string', multiple: true, default: [] },
      stack: { type: 'string', default: 'quic' },
      agent: { type: 'string', default: 'interop-js/1' },
      limits: { type: 'string', default: 'raised' }
    }
  })
  return { ...values, raised: values.limits === 'raised' }
}

async function stackOptions (stack, raised) {
  const muxer = raised ? { maxInboundStreams: RAISED_STREAMS, maxOutboundStreams: RAISED_STREAMS } : {}
  const muxed = { streamMuxers: [yamux(muxer)] }
  switch (stack) {
    case 'tcp-noise': return { transports: [tcp()], connectionEncrypters: [noise()], ...muxed }
    case 'tcp-tls': return { transports: [tcp()], connectionEncrypters: [tls()], ...muxed }
    case 'ws-noise': return { transports: [webSockets()], connectionEncrypters: [noise()], ...muxed }
    case 'quic': {
      const { quic } = await import('@chainsafe/libp2p-quic') // a native module
      return { transports: [quic(raised ? { maxConcurrentStreamLimit: RAISED_STREAMS } : {})] }
    }
    default: throw new Error(`no such stack: ${stack}`)
  }
}

async function start (config) {
  const raised = { inboundConnectionThreshold: RAISED_RATE, maxIncomingPendingConnections: RAISED_RATE }
  const node = await createLibp2p({
    ...await stackOptions(config.stack, config.raised),
    privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(config.seed, 'hex')),
    nodeInfo: { userAgent: config.agent },
    addresses: { listen: config.listen },
    connectionManager: config.raised ? raised : {},
    services: { identify: identify(), identifyPush: identifyPush(), ping: ping() }
  })
  const { streams } = await serveProtocols(node, config.raised ? RAISED_STREAMS : undefined)
  return { node, streams }
}

function reportEvents (node) {
  const connection = ({ detail: c }) => ({
    peer: c.remotePeer.toString(), conn: c.id, dir: c.direction, remote: c.remoteAddr.toString()
  })
  node.addEventListener('connection:open', e => write({ event: 'connected', ...connection(e) }))
  node.addEventListener('connection:close', e => write({ event: 'closed', ...connection(e) }))
  node.addEventListener('peer:identify', ({ detail: d }) => write({
    event: 'identified',
    peer: d.peerId.toString(),
    agent: d.agentVersion ?? '',
    protocol_version: d.protocolVersion ?? '',
    protocols: d.protocols,
    listen: d.listenAddrs.map(String),
    observed: d.observedAddr?.toString() ?? ''
  }))
}

async function dial ({ node }, c, signal) {
  const conn = await node.dial(multiaddr(c.addr), { signal })
  return { peer: conn.remotePeer.toString() }
}

async function close ({ node }, c) {
  await Promise.all(node.getConnections().filter(conn => conn.remotePeer.toString() === c.peer)
    .map(conn => conn.close()))
}

const commands = { ...COMMANDS, dial, close, stats: () => counters }

async function execute (peer, line) {
  const c = JSON.parse(line)
  let reply
  try {
    if (!(c.cmd in commands)) {
      throw new Error(`no such command: ${c.cmd}`)
    }
    reply = await commands[c.cmd](peer, c, AbortSignal.timeout(c.timeout_ms))
  } catch (e) {
    reply = { error: `${e.name}: ${e.message}` }
  }
  write({ ...reply, id: c.id })
}

const config = parseFlags()
const peer = await start(config)
const version = JSON.parse(readFileSync(new URL('node_modules/libp2p/package.json', import.meta.url))).version
reportEvents(peer.node)
write({
  event: 'ready',
  peer: peer.node.peerId.toString(),
  addrs: peer.node.getMultiaddrs().map(a => a.toString().replace(/\/p2p\/.*$/, '')),
  version: `js-libp2p ${version}, node ${process.version}`,
  limits_raised: config.raised,
  lacks: LACKS[config.stack] ?? {}
})
createInterface({ input: process.stdin })
  .on('line', line => execute(peer, line))
  .on('close', () => process.exit(0))
process.on('SIGTERM', () => peer.node.stop().finally(() => process.exit(0)))
