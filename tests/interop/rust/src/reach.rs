// SPDX-License-Identifier: MIT

//! What lets a peer be reached: circuits (relay v2), hole punching (DCUtR) and AutoNAT v2.

use std::{collections::HashMap, error::Error, fmt, io, time::Duration};

use libp2p::{
    Multiaddr, PeerId, TransportError, autonat, dcutr,
    relay::{
        self, StatusCode,
        outbound::hop::{ConnectError, ProtocolViolation, ReserveError},
    },
    swarm::{ConnectionId, DialError, NetworkBehaviour, behaviour::toggle::Toggle},
};
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{Fault, write};

const PROBE_INTERVAL: Duration = Duration::from_millis(100);
const MANY: usize = 128; // the hosts of a test share one address

pub struct Flags {
    pub circuit: bool,
    pub relay: String,
    pub dcutr: bool,
    pub autonat: String,
}

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    client: Toggle<relay::client::Behaviour>,
    relay: Toggle<relay::Behaviour>,
    dcutr: Toggle<dcutr::Behaviour>,
    prober: Toggle<autonat::v2::client::Behaviour>,
    probed: Toggle<autonat::v2::server::Behaviour>,
}

impl Behaviour {
    pub fn new(
        flags: &Flags,
        own: PeerId,
        client: Option<relay::client::Behaviour>,
    ) -> Result<Self, Fault> {
        let mut relay = None;
        if !flags.relay.is_empty() {
            let mut service = relay::Behaviour::new(own, relay_config(&flags.relay)?);
            service.set_status(Some(relay::Status::Enable));
            relay = Some(service);
        }
        let config = autonat::v2::client::Config::default().with_probe_interval(PROBE_INTERVAL);
        let prober = || autonat::v2::client::Behaviour::new(rand::make_rng::<StdRng>(), config);
        Ok(Behaviour {
            client: client.into(),
            relay: relay.into(),
            dcutr: flags.dcutr.then(|| dcutr::Behaviour::new(own)).into(),
            prober: (flags.autonat == "client").then(prober).into(),
            probed: (flags.autonat == "server")
                .then(autonat::v2::server::Behaviour::default)
                .into(),
        })
    }
}

/// Reads -relay: a list of "unlimited" and of KEY=NUMBER.
fn relay_config(text: &str) -> Result<relay::Config, Fault> {
    let mut c = relay::Config {
        max_reservations_per_peer: MANY,
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        max_circuits: MANY,
        max_circuits_per_peer: MANY,
        ..Default::default()
    };
    for word in text.split(',') {
        if word == "unlimited" {
            c.max_circuit_duration = Duration::from_secs(u32::MAX.into());
            c.max_circuit_bytes = 0;
            continue;
        }
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = value.parse().map_err(|_| format!("bad -relay {word}"))?;
        match key {
            "duration" => c.max_circuit_duration = Duration::from_secs(number),
            "data" => c.max_circuit_bytes = number,
            "reservations" => c.max_reservations = number as usize,
            "circuits" => c.max_circuits_per_peer = number as usize,
            "ttl" => c.reservation_duration = Duration::from_secs(number),
            _ => return Err(format!("bad -relay {word}").into()),
        }
    }
    Ok(c)
}

pub fn lacks(stack: &str, flags: &Flags, l: &mut serde_json::Map<String, Value>) {
    let relay = !flags.relay.is_empty();
    let (client, server) = (flags.autonat == "client", flags.autonat == "server");
    let all = [
        (
            relay,
            "unlimited",
            "rust's relay tells of a limit also where it has none",
        ),
        (relay, "voucher", "rust's relay gives no voucher"),
        (
            flags.circuit,
            "reservation",
            "rust's client tells neither expiry nor voucher",
        ),
        (
            flags.dcutr,
            "reversal",
            "rust punches also where it could just dial",
        ),
        (
            client,
            "unasked",
            "rust's client has the address probed under which it is seen",
        ),
        (server, "probed", "rust's server doesn't tell what it found"),
        (
            server,
            "lost-answer",
            "rust's server takes a reset after its nonce for a failure",
        ),
        (
            server && stack != "quic",
            "unanswered",
            "rust's server gives up before a dial over TCP that nobody answers",
        ),
    ];
    for (_, key, why) in all.into_iter().filter(|(applies, ..)| *applies) {
        l.insert(key.into(), why.into());
    }
}

// ---- refusals

/// A relay refused what was asked of it, with this status.
#[derive(Debug)]
pub struct Refused {
    pub status: u64,
    text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refused {}

pub fn dial_fault(error: &DialError) -> Fault {
    if let DialError::Transport(tried) = error {
        for (_, one) in tried {
            if let TransportError::Other(e) = one
                && let Some(refused) = refusal(e)
            {
                return refused.into();
            }
        }
    }
    error.to_string().into()
}

pub fn refusal(error: &io::Error) -> Option<Refused> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = next {
        let status = e
            .downcast_ref()
            .and_then(connect_status)
            .or_else(|| e.downcast_ref().and_then(reserve_status));
        if let Some(status) = status {
            let text = e.to_string();
            return Some(Refused { status, text });
        }
        next = match e.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _), // its source() is the inner one's
            None => e.source(),
        };
    }
    None
}

fn connect_status(e: &ConnectError) -> Option<u64> {
    match e {
        ConnectError::ResourceLimitExceeded => Some(201),
        ConnectError::PermissionDenied => Some(202),
        ConnectError::ConnectionFailed => Some(203),
        ConnectError::NoReservation => Some(204),
        ConnectError::Protocol(v) => other_status(v),
        _ => None,
    }
}

fn reserve_status(e: &ReserveError) -> Option<u64> {
    match e {
        ReserveError::Refused => Some(200),
        ReserveError::ResourceLimitExceeded => Some(201),
        ReserveError::Protocol(v) => other_status(v),
        _ => None,
    }
}

fn other_status(v: &ProtocolViolation) -> Option<u64> {
    match v {
        ProtocolViolation::UnexpectedStatus(name) => match name.as_str() {
            "PERMISSION_DENIED" => Some(202),
            "MALFORMED_MESSAGE" => Some(400),
            "UNEXPECTED_MESSAGE" => Some(401),
            _ => None,
        },
        _ => None,
    }
}

fn status_number(s: StatusCode) -> u64 {
    match s {
        StatusCode::OK => 100,
        StatusCode::ReservationRefused => 200,
        StatusCode::ResourceLimitExceeded => 201,
        StatusCode::PermissionDenied => 202,
        StatusCode::ConnectionFailed => 203,
        StatusCode::NoReservation => 204,
        StatusCode::MalformedMessage => 400,
        StatusCode::UnexpectedMessage => 401,
    }
}

// ---- events

/// What was told and is still to be used.
#[derive(Default)]
pub struct Told {
    /// Of the circuit whose connection is about to come; JSON's null where there is no limit.
    pub limit: Value,
    /// Remote addresses.
    pub connections: HashMap<ConnectionId, Multiaddr>,
    /// Who waits for what AutoNAT finds of an address, and what it found: it asks only once.
    probes: HashMap<Multiaddr, oneshot::Sender<Value>>,
    verdicts: HashMap<Multiaddr, &'static str>,
}

impl Told {
    pub fn on_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Client(e) => self.on_client(e),
            BehaviourEvent::Relay(e) => on_relay(e),
            BehaviourEvent::Dcutr(e) => self.on_punch(e),
            BehaviourEvent::Prober(e) => self.on_verdict(e),
            BehaviourEvent::Probed(e) => write(json!({
                "event": "probed", "addr": e.tested_addr.to_string(), "data": e.data_amount > 0,
                "text": e.result.err().map(|e| e.to_string()),
            })),
        }
    }

    fn on_client(&mut self, event: relay::client::Event) {
        use relay::client::Event::*;
        match event {
            ReservationReqAccepted {
                relay_peer_id,
                renewal,
                limit,
            } => write(json!({
                "event": "reserved", "relay": relay_peer_id.to_string(), "renewal": renewal,
                "limit": limit_json(limit.map(|l| (l.duration(), l.data_in_bytes()))),
            })),
            OutboundCircuitEstablished { limit, .. } | InboundCircuitEstablished { limit, .. } => {
                self.limit = limit_json(limit.map(|l| (l.duration(), l.data_in_bytes())));
            }
        }
    }

    fn on_punch(&mut self, event: dcutr::Event) {
        let peer = event.remote_peer_id.to_string();
        write(match event.result {
            Ok(id) => json!({
                "event": "punch", "peer": peer, "state": "succeeded",
                "addr": self.connections.get(&id).map(ToString::to_string),
            }),
            Err(e) => {
                let text = causes(&e);
                json!({"event": "punch", "peer": peer, "state": "failed", "text": text})
            }
        });
    }

    fn on_verdict(&mut self, event: autonat::v2::client::Event) {
        let verdict = match event.result {
            Ok(()) => "reachable",
            Err(_) => "unreachable",
        };
        if let Some(reply) = self.probes.remove(&event.tested_addr) {
            let _ = reply.send(json!({"verdict": verdict}));
        }
        self.verdicts.insert(event.tested_addr, verdict);
    }

    pub fn await_verdict(&mut self, addr: Multiaddr, reply: oneshot::Sender<Value>) {
        match self.verdicts.get(&addr) {
            Some(verdict) => {
                let _ = reply.send(json!({"verdict": verdict}));
            }
            None => {
                self.probes.insert(addr, reply);
            }
        }
    }
}

fn limit_json(limit: Option<(Option<Duration>, Option<u64>)>) -> Value {
    limit.map_or(Value::Null, |(duration, data)| {
        json!({
            "duration": duration.unwrap_or_default().as_secs(), "data": data.unwrap_or_default(),
        })
    })
}

fn causes(e: &dyn Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

fn on_relay(event: relay::Event) {
    use relay::Event::*;
    let reservation = |peer: PeerId, status, renewal| {
        json!({
            "event": "reservation", "peer": peer.to_string(), "status": status_number(status),
            "renewal": renewal,
        })
    };
    let circuit = |src: PeerId, dst: PeerId, status| {
        json!({
            "event": "circuit", "src": src.to_string(), "dst": dst.to_string(),
            "status": status_number(status),
        })
    };
    #[allow(deprecated)] // there is no other event yet
    write(match event {
        ReservationReqAccepted {
            src_peer_id,
            renewed,
        } => reservation(src_peer_id, StatusCode::OK, renewed),
        ReservationReqDenied {
            src_peer_id,
            status,
        } => reservation(src_peer_id, status, false),
        CircuitReqAccepted {
            src_peer_id,
            dst_peer_id,
        } => circuit(src_peer_id, dst_peer_id, StatusCode::OK),
        CircuitReqDenied {
            src_peer_id,
            dst_peer_id,
            status,
        } => circuit(src_peer_id, dst_peer_id, status),
        CircuitReqOutboundConnectFailed {
            src_peer_id,
            dst_peer_id,
            ..
        } => circuit(src_peer_id, dst_peer_id, StatusCode::ConnectionFailed),
        CircuitClosed {
            src_peer_id,
            dst_peer_id,
            ..
        } => json!({
            "event": "circuit-ended", "src": src_peer_id.to_string(),
            "dst": dst_peer_id.to_string(),
        }),
        _ => return,
    });
}
