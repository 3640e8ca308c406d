// SPDX-License-Identifier: MIT

//! The rust-libp2p test peer: one transport stack, driven by JSON lines (../README.md).

mod protocols;
mod reach;
mod streams;

use std::{collections::HashMap, error::Error, io, sync::Arc, time::Duration};

use futures::{AsyncRead, AsyncWrite, FutureExt, StreamExt, future::join_all};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, ListenerId},
        upgrade::Version,
    },
    identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping, quic, relay,
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
use reach::{Refused, Told, dial_fault, refusal};
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
    reach: reach::Behaviour,
}

struct Config {
    seed: [u8; 32],
    listen: Vec<Multiaddr>,
    stack: String,
    agent: String,
    raised: bool,
    reach: reach::Flags,
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
        reach: reach::Flags {
            circuit: take("-circuit", "off") == "on",
            relay: take("-relay", ""),
            dcutr: take("-dcutr", "off") == "on",
            autonat: take("-autonat", "off"),
        },
    };
    match flags.into_keys().next() {
        Some(name) => Err(format!("no such flag: {name}").into()),
        None => Ok(config),
    }
}

type Link = Boxed<(PeerId, StreamMuxerBox)>;

fn muxer(c: &Config) -> yamux::Config {
    let mut muxer = yamux::Config::default();
    if c.raised {
        muxer.set_max_num_streams(RAISED_STREAMS);
    }
    muxer
}

/// What lies on a stream of bytes: the security of the stack, and yamux.
fn upgraded<T>(c: &Config, key: &Keypair, transport: T) -> Result<Link, Fault>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let builder = transport.upgrade(Version::V1Lazy);
    Ok(if c.stack == "tcp-tls" {
        builder
            .authenticate(tls::Config::new(key)?)
            .multiplex(muxer(c))
            .timeout(UPGRADE_TIMEOUT)
            .boxed()
    } else {
        builder
            .authenticate(noise::Config::new(key)?)
            .multiplex(muxer(c))
            .timeout(UPGRADE_TIMEOUT)
            .boxed()
    })
}

fn transport(c: &Config, key: &Keypair) -> Result<Link, Fault> {
    let mut quic_config = quic::Config::new(key);
    if c.raised {
        quic_config.max_concurrent_stream_limit = RAISED_STREAMS as u32;
    }
    let tcp = tcp::tokio::Transport::new(tcp::Config::default());
    Ok(match c.stack.as_str() {
        "tcp-noise" | "tcp-tls" => upgraded(c, key, tcp)?,
        "ws-noise" => upgraded(c, key, websocket::Config::new(tcp))?,
        "quic" => quic::tokio::Transport::new(quic_config)
            .map(|(peer, conn), _| (peer, StreamMuxerBox::new(conn)))
            .boxed(),
        other => return Err(format!("no such stack: {other}").into()),
    })
}

/// The stack's transport, and circuits if they are asked for.
fn transports(
    c: &Config,
    key: &Keypair,
) -> Result<(Link, Option<relay::client::Behaviour>), Fault> {
    let direct = transport(c, key)?;
    if !c.reach.circuit {
        return Ok((direct, None));
    }
    let (circuits, behaviour) = relay::client::new(key.public().to_peer_id());
    let both = upgraded(c, key, circuits)?.or_transport(direct);
    Ok((
        both.map(|either, _| either.into_inner()).boxed(),
        Some(behaviour),
    ))
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
    let own = key.public().to_peer_id();
    let (link, client) = transports(c, &key)?;
    let (raw, inbound) = streams::Behaviour::new(vec![SUM, REVERSE, RESET, PERF]);
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(
            identify::Config::new(String::new(), key.public()).with_agent_version(c.agent.clone()),
        ),
        ping: ping::Behaviour::default(),
        raw,
        reach: reach::Behaviour::new(&c.reach, own, client)?,
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
    Ok((Swarm::new(link, behaviour, own, config), inbound))
}

fn write(line: Value) {
    println!("{line}"); // println! locks, so a line is written whole
}

/// What a command needs the swarm for.
enum Ask {
    Dial(Multiaddr, oneshot::Sender<Result<PeerId, Fault>>),
    Reserve(Multiaddr, oneshot::Sender<Result<(), Fault>>),
    Probe(Multiaddr, oneshot::Sender<Value>),
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
            "reserve" => {
                let (reply, receiver) = oneshot::channel();
                self.asks.send(Ask::Reserve(text("addr").parse()?, reply))?;
                receiver.await??;
                Ok(json!({}))
            }
            "probe" => {
                let (reply, receiver) = oneshot::channel();
                self.asks.send(Ask::Probe(text("addr").parse()?, reply))?;
                Ok(receiver.await?)
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
        Ok(Err(e)) => match e.downcast_ref::<Refused>() {
            Some(r) => json!({"error": r.to_string(), "status": r.status}),
            None => json!({"error": e.to_string()}),
        },
        Err(_) => json!({"error": "timed out"}),
    };
    reply["id"] = command["id"].clone();
    write(reply);
}

struct Node {
    swarm: Swarm<Behaviour>,
    dials: HashMap<ConnectionId, oneshot::Sender<Result<PeerId, Fault>>>,
    reserves: HashMap<ListenerId, oneshot::Sender<Result<(), Fault>>>,
    told: Told,
    punches: bool,
}

impl Node {
    fn answer(&mut self, ask: Ask) {
        // A command that timed out hears no answer.
        match ask {
            Ask::Dial(addr, reply) => self.dial(addr, reply),
            Ask::Reserve(addr, reply) => self.reserve(addr, reply),
            Ask::Probe(addr, reply) => {
                self.swarm.behaviour_mut().raw.suggest(addr.clone());
                self.told.await_verdict(addr, reply);
            }
            Ask::Close(peer, reply) => {
                let _ = self.swarm.disconnect_peer_id(peer);
                let _ = reply.send(());
            }
            Ask::Open(peer, protocol, reply) => {
                let _ = reply.send(self.swarm.behaviour().raw.open(peer, protocol));
            }
        }
    }

    /// The reservation is there when its listener has an address.
    fn reserve(&mut self, relay: Multiaddr, reply: oneshot::Sender<Result<(), Fault>>) {
        match self.swarm.listen_on(relay.with(Protocol::P2pCircuit)) {
            Ok(id) => {
                self.reserves.insert(id, reply);
            }
            Err(e) => {
                let _ = reply.send(Err(e.into()));
            }
        }
    }

    fn dial(&mut self, addr: Multiaddr, reply: oneshot::Sender<Result<PeerId, Fault>>) {
        let peer = match addr.iter().last() {
            Some(Protocol::P2p(peer)) => peer,
            _ => {
                let _ = reply.send(Err("the address names no peer".into()));
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
                let _ = reply.send(Err(e.into()));
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
                let relayed = endpoint.is_relayed();
                let remote = endpoint.get_remote_address();
                let mut told = json!({
                    "event": "connected", "peer": peer_id.to_string(), "dir": dir,
                    "conn": connection_id.to_string(), "remote": remote.to_string(),
                    "relayed": relayed,
                });
                if relayed {
                    told["limit"] = self.told.limit.take();
                }
                self.told.connections.insert(connection_id, remote.clone());
                write(told);
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
                    let _ = reply.send(Err(dial_fault(&error)));
                }
            }
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                if let Some(reply) = self.reserves.remove(&listener_id) {
                    let _ = reply.send(Ok(()));
                }
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                if let Some(reply) = self.reserves.remove(&listener_id) {
                    let fault = match reason {
                        Ok(()) => "the listener closed".into(),
                        Err(e) => refusal(&e).map_or_else(|| e.into(), Fault::from),
                    };
                    let _ = reply.send(Err(fault));
                }
            }
            SwarmEvent::NewExternalAddrCandidate { .. } if self.punches => {
                self.punches = false; // told once
                write(json!({"event": "punch", "state": "ready"}));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Reach(e)) => self.told.on_event(e),
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

fn lacks(c: &Config) -> Value {
    let mut l = serde_json::Map::new();
    let mut add = |key: &str, why: &str| l.insert(key.into(), why.into());
    if c.stack == "quic" {
        add(
            "reset",
            "libp2p-quic ends a stream that is dropped, it can't reset one",
        );
        add(
            "pings",
            "libp2p-ping over QUIC answers a stream's second ping at its next timer",
        );
    } else {
        add(
            "read-reset",
            "rust's yamux reads an end where a stream was reset",
        );
    }
    reach::lacks(&c.stack, &c.reach, &mut l);
    l.into()
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let config = parse_flags()?;
    let (mut swarm, mut inbound) = swarm(&config)?;
    let addrs = listen(&mut swarm, &config.listen).await?;
    if !config.reach.relay.is_empty() {
        for addr in &addrs {
            swarm.add_external_address(addr.parse()?); // what a reservation names
        }
    }
    write(json!({
        "event": "ready", "peer": swarm.local_peer_id().to_string(), "addrs": addrs,
        "version": concat!("rust-libp2p ", env!("LIBP2P_VERSION")),
        "limits_raised": config.raised, "lacks": lacks(&config),
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
        reserves: HashMap::new(),
        told: Told::default(),
        punches: config.reach.dcutr,
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
