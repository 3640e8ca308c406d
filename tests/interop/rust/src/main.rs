// SPDX-License-Identifier: MIT

//! The rust-libp2p test peer: one transport stack, driven by JSON lines (../README.md).

mod protocols;
mod streams;

use std::{collections::HashMap, error::Error, io, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping, quic,
    swarm::{
        ConnectionId, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, tls, websocket, yamux,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    signal::unix::{SignalKind, signal},
    sync::{Barrier, mpsc, oneshot},
};

use protocols::{Counters, PERF, PING, RESET, REVERSE, SUM};
use streams::Inbound;

type Fault = Box<dyn Error + Send + Sync>;

const RAISED_NEGOTIATING: usize = 4096;
const RAISED_STREAMS: usize = 4096;
const RAISED_IDLE: Duration = Duration::from_secs(600);
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    raw: streams::Behaviour,
}

struct Config {
    seed: [u8; 32],
    listen: Vec<Multiaddr>,
    stack: String,
    agent: String,
    raised: bool,
}

fn parse_flags() -> Result<Config, Fault> {
    let (mut flags, mut listen) = (HashMap::new(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or(format!("{name} needs a value"))?;
        if name == "-listen" {
            listen.push(value.parse()?);
        } else {
            flags.insert(name, value);
        }
    }
    let mut take = |name: &str, or: &str| flags.remove(name).unwrap_or(or.to_owned());
    let seed = take("-seed", "");
    if seed.len() != 64 {
        return Err("-seed must be 64 hex digits".into());
    }
    let bytes: Result<Vec<u8>, _> = (0..32)
        .map(|i| u8::from_str_radix(&seed[2 * i..2 * i + 2], 16))
        .collect();
    let config = Config {
        seed: bytes?
            .try_into()
            .map_err(|_| "-seed must be 64 hex digits")?,
        listen,
        stack: take("-stack", "quic"),
        agent: take("-agent", "interop-rust/1"),
        raised: take("-limits", "raised") == "raised",
    };
    match flags.into_keys().next() {
        Some(name) => Err(format!("no such flag: {name}").into()),
        None => Ok(config),
    }
}

fn transport(c: &Config, key: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Fault> {
    let mut muxer = yamux::Config::default();
    let mut quic_config = quic::Config::new(key);
    if c.raised {
        muxer.set_max_num_streams(RAISED_STREAMS);
        quic_config.max_concurrent_stream_limit = RAISED_STREAMS as u32;
    }
    let tcp = tcp::tokio::Transport::new(tcp::Config::default());
    Ok(match c.stack.as_str() {
        "tcp-noise" => tcp
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(muxer)
            .timeout(UPGRADE_TIMEOUT)
            .boxed(),
        "tcp-tls" => tcp
            .upgrade(Version::V1Lazy)
            .authenticate(tls::Config::new(key)?)
            .multiplex(muxer)
            .timeout(UPGRADE_TIMEOUT)
            .boxed(),
        "ws-noise" => websocket::Config::new(tcp)
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(muxer)
            .timeout(UPGRADE_TIMEOUT)
            .boxed(),
        "quic" => quic::tokio::Transport::new(quic_config)
            .map(|(peer, conn), _| (peer, StreamMuxerBox::new(conn)))
            .boxed(),
        other => return Err(format!("no such stack: {other}").into()),
    })
}

fn swarm(
    c: &Config,
) -> Result<
    (
        Swarm<Behaviour>,
        futures::channel::mpsc::UnboundedReceiver<Inbound>,
    ),
    Fault,
> {
    let key = Keypair::ed25519_from_bytes(c.seed)?;
    let (raw, inbound) = streams::Behaviour::new(vec![SUM, REVERSE, RESET, PERF]);
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(
            identify::Config::new(String::new(), key.public()).with_agent_version(c.agent.clone()),
        ),
        ping: ping::Behaviour::default(),
        raw,
    };
    let mut config = libp2p::swarm::Config::with_tokio_executor();
    if c.raised {
        config = config
            .with_max_negotiating_inbound_streams(RAISED_NEGOTIATING)
            .with_idle_connection_timeout(RAISED_IDLE);
    } else {
        // The default of SwarmBuilder; 0, which is that of the swarm's own type, closes at once.
        config = config.with_idle_connection_timeout(Duration::from_secs(10));
    }
    let swarm = Swarm::new(
        transport(c, &key)?,
        behaviour,
        key.public().to_peer_id(),
        config,
    );
    Ok((swarm, inbound))
}

fn write(line: Value) {
    println!("{line}"); // println! locks, so a line is written whole
}

/// What a command needs the swarm for.
enum Ask {
    Dial(Multiaddr, oneshot::Sender<Result<PeerId, String>>),
    Close(PeerId, oneshot::Sender<()>),
    Open(PeerId, StreamProtocol, oneshot::Sender<OpenReceiver>),
}

type OpenReceiver = futures::channel::oneshot::Receiver<io::Result<libp2p::Stream>>;

#[derive(Clone)]
struct Commands {
    asks: mpsc::UnboundedSender<Ask>,
    counters: Arc<Counters>,
}

impl Commands {
    async fn open(&self, peer: PeerId, protocol: StreamProtocol) -> io::Result<libp2p::Stream> {
        let (reply, receiver) = oneshot::channel();
        let gone = |_| io::Error::other("the connection is gone");
        self.asks
            .send(Ask::Open(peer, protocol, reply))
            .map_err(io::Error::other)?;
        receiver
            .await
            .map_err(io::Error::other)?
            .await
            .map_err(gone)?
    }

    async fn execute(&self, c: &Value) -> Result<Value, Fault> {
        let text = |name: &str| c[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| c[name].as_u64().unwrap_or_default();
        let peer = || text("peer").parse::<PeerId>();
        match text("cmd").as_str() {
            "dial" => {
                let (reply, receiver) = oneshot::channel();
                self.asks.send(Ask::Dial(text("addr").parse()?, reply))?;
                Ok(json!({"peer": receiver.await??.to_string()}))
            }
            "close" => {
                let (reply, receiver) = oneshot::channel();
                self.asks.send(Ask::Close(peer()?, reply))?;
                receiver.await?;
                Ok(json!({}))
            }
            "stats" => Ok(self.counters.json()),
            "ping" => Ok(protocols::ping(self.open(peer()?, PING).await?, number("count")).await?),
            "perf" => {
                let s = self.open(peer()?, PERF).await?;
                Ok(protocols::perf(s, number("up"), number("down")).await?)
            }
            "sum" => self.sum(peer()?, number("count"), number("size")).await,
            "reverse" => self.reverse(peer()?, number("count"), number("size")).await,
            "reset" => Ok(protocols::reset(self.open(peer()?, REVERSE).await?).await?),
            "open" => {
                let protocol = StreamProtocol::try_from_owned(text("proto"))?;
                let opened = self.open(peer()?, protocol).await;
                Ok(protocols::open(opened, number("size")).await?)
            }
            other => Err(format!("no such command: {other}").into()),
        }
    }

    async fn sum(&self, peer: PeerId, count: u64, size: u64) -> Result<Value, Fault> {
        let all = Barrier::new(count as usize);
        let one = async |i| {
            let opened = self.open(peer, SUM).await;
            protocols::sum(opened, i as u8, size, &all).await
        };
        first_failure(join_all((0..count).map(one)).await)
    }

    async fn reverse(&self, peer: PeerId, count: u64, size: u64) -> Result<Value, Fault> {
        let one = async |_| protocols::reverse(self.open(peer, REVERSE).await, size).await;
        first_failure(join_all((0..count).map(one)).await)
    }
}

fn first_failure(results: Vec<io::Result<()>>) -> Result<Value, Fault> {
    let failed = results.iter().filter(|r| r.is_err()).count();
    match results.into_iter().find_map(Result::err) {
        Some(e) => Err(format!("{failed} failed, the first of them by: {e}").into()),
        None => Ok(json!({})),
    }
}

async fn execute(commands: Commands, line: String) {
    let command: Value = serde_json::from_str(&line).expect("a command is JSON");
    let timeout = Duration::from_millis(command["timeout_ms"].as_u64().unwrap_or(20_000));
    let mut reply = match tokio::time::timeout(timeout, commands.execute(&command)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(e)) => json!({"error": e.to_string()}),
        Err(_) => json!({"error": "timed out"}),
    };
    reply["id"] = command["id"].clone();
    write(reply);
}

struct Node {
    swarm: Swarm<Behaviour>,
    dials: HashMap<ConnectionId, oneshot::Sender<Result<PeerId, String>>>,
}

impl Node {
    fn answer(&mut self, ask: Ask) {
        // A command that timed out hears no answer.
        match ask {
            Ask::Dial(addr, reply) => self.dial(addr, reply),
            Ask::Close(peer, reply) => {
                let _ = self.swarm.disconnect_peer_id(peer);
                let _ = reply.send(());
            }
            Ask::Open(peer, protocol, reply) => {
                let _ = reply.send(self.swarm.behaviour().raw.open(peer, protocol));
            }
        }
    }

    fn dial(&mut self, addr: Multiaddr, reply: oneshot::Sender<Result<PeerId, String>>) {
        let peer = match addr.iter().last() {
            Some(Protocol::P2p(peer)) => peer,
            _ => {
                let _ = reply.send(Err("the address names no peer".to_owned()));
                return;
            }
        };
        if self.swarm.is_connected(&peer) {
            let _ = reply.send(Ok(peer));
            return;
        }
        let opts = DialOpts::peer_id(peer)
            .addresses(vec![addr])
            .condition(PeerCondition::Always)
            .build();
        let id = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.insert(id, reply);
            }
            Err(e) => {
                let _ = reply.send(Err(e.to_string()));
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                if let Some(reply) = self.dials.remove(&connection_id) {
                    let _ = reply.send(Ok(peer_id));
                }
                let dir = if endpoint.is_dialer() {
                    "outbound"
                } else {
                    "inbound"
                };
                write(json!({
                    "event": "connected", "peer": peer_id.to_string(), "dir": dir,
                    "conn": connection_id.to_string(),
                    "remote": endpoint.get_remote_address().to_string(),
                }));
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => write(json!({
                "event": "closed", "peer": peer_id.to_string(), "conn": connection_id.to_string(),
                "text": cause.map(|e| e.to_string()),
            })),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                if let Some(reply) = self.dials.remove(&connection_id) {
                    let _ = reply.send(Err(error.to_string()));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => write(json!({
                "event": "identified", "peer": peer_id.to_string(), "agent": info.agent_version,
                "protocol_version": info.protocol_version,
                "protocols": info.protocols.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "listen": info.listen_addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "observed": info.observed_addr.to_string(),
            })),
            _ => {}
        }
    }
}

async fn listen(swarm: &mut Swarm<Behaviour>, addrs: &[Multiaddr]) -> Result<Vec<String>, Fault> {
    for addr in addrs {
        swarm.listen_on(addr.clone())?;
    }
    let mut bound = Vec::new();
    while bound.len() < addrs.len() {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => bound.push(address.to_string()),
            SwarmEvent::ListenerClosed { reason, .. } => {
                return Err(format!("a listener closed: {reason:?}").into());
            }
            _ => {}
        }
    }
    Ok(bound)
}

fn lacks(stack: &str) -> Value {
    match stack {
        "quic" => json!({
            "reset": "libp2p-quic ends a stream that is dropped, it can't reset one",
            "pings": "libp2p-ping over QUIC answers a stream's second ping at its next timer",
        }),
        _ => json!({"read-reset": "rust's yamux reads an end where a stream was reset"}),
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let config = parse_flags()?;
    let (mut swarm, mut inbound) = swarm(&config)?;
    let addrs = listen(&mut swarm, &config.listen).await?;
    write(json!({
        "event": "ready", "peer": swarm.local_peer_id().to_string(), "addrs": addrs,
        "version": concat!("rust-libp2p ", env!("LIBP2P_VERSION")),
        "limits_raised": config.raised, "lacks": lacks(&config.stack),
    }));

    let counters = Arc::new(Counters::default());
    let (asks, mut asked) = mpsc::unbounded_channel();
    let commands = Commands {
        asks,
        counters: counters.clone(),
    };
    let mut node = Node {
        swarm,
        dials: HashMap::new(),
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            event = node.swarm.select_next_some() => node.on_event(event),
            Some(ask) = asked.recv() => node.answer(ask),
            Some(Inbound { protocol, stream }) = inbound.next() => {
                let counters = counters.clone();
                tokio::spawn(async move { protocols::serve(protocol, stream, &counters).await });
            }
            line = lines.next_line() => match line? {
                Some(line) => { tokio::spawn(execute(commands.clone(), line).boxed()); }
                None => return Ok(()),
            },
            _ = terminated.recv() => return Ok(()),
        }
    }
}
