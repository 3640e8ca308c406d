// SPDX-License-Identifier: MIT

//! Raw streams: a behaviour that serves a fixed list of protocols and opens streams on request.
//!
//! libp2p-stream opens one stream after the other and drops inbound ones that come faster than
//! they are taken, so that it can't hold 200 of them open; this one queues both without a limit.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{Ready, ready},
    io,
    task::{Context, Poll},
};

use futures::{
    channel::{mpsc, oneshot},
    stream::StreamExt,
};
use libp2p::{
    InboundUpgrade, Multiaddr, OutboundUpgrade, PeerId, Stream, StreamProtocol,
    core::{Endpoint, UpgradeInfo, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent,
        ConnectionId, FromSwarm, NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};

type Reply = oneshot::Sender<io::Result<Stream>>;

struct Request {
    protocol: StreamProtocol,
    reply: Reply,
}

pub struct Inbound {
    pub protocol: StreamProtocol,
    pub stream: Stream,
}

pub struct Behaviour {
    protocols: Vec<StreamProtocol>,
    inbound: mpsc::UnboundedSender<Inbound>,
    connections: HashMap<ConnectionId, Connection>,
    suggested: VecDeque<Multiaddr>,
}

struct Connection {
    peer: PeerId,
    relayed: bool,
    requests: mpsc::UnboundedSender<Request>,
}

impl Behaviour {
    pub fn new(protocols: Vec<StreamProtocol>) -> (Self, mpsc::UnboundedReceiver<Inbound>) {
        let (inbound, receiver) = mpsc::unbounded();
        (
            Behaviour {
                protocols,
                inbound,
                connections: HashMap::new(),
                suggested: VecDeque::new(),
            },
            receiver,
        )
    }

    /// Has AutoNAT probe an address that nobody has observed.
    pub fn suggest(&mut self, addr: Multiaddr) {
        self.suggested.push_back(addr);
    }

    /// Asks for a stream on a connection that must be there already, rather on a direct one.
    pub fn open(
        &self,
        peer: PeerId,
        protocol: StreamProtocol,
    ) -> oneshot::Receiver<io::Result<Stream>> {
        let (reply, receiver) = oneshot::channel();
        let all = self.connections.values().filter(|c| c.peer == peer);
        match all.min_by_key(|c| c.relayed) {
            Some(c) => {
                // Without a handler the reply is dropped, which its receiver sees.
                let _ = c.requests.unbounded_send(Request { protocol, reply });
            }
            None => {
                let _ = reply.send(Err(io::Error::other("no connection")));
            }
        }
        receiver
    }

    fn handler(&mut self, id: ConnectionId, peer: PeerId, addr: &Multiaddr) -> Handler {
        let (sender, requests) = mpsc::unbounded();
        let connection = Connection {
            peer,
            relayed: addr.iter().any(|p| p == Protocol::P2pCircuit),
            requests: sender,
        };
        self.connections.insert(id, connection);
        Handler {
            protocols: self.protocols.clone(),
            inbound: self.inbound.clone(),
            requests,
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer, local))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer, remote))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) = event {
            self.connections.remove(&connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.suggested.pop_front() {
            Some(addr) => Poll::Ready(ToSwarm::NewExternalAddrCandidate(addr)),
            None => Poll::Pending,
        }
    }
}

pub struct Handler {
    protocols: Vec<StreamProtocol>,
    inbound: mpsc::UnboundedSender<Inbound>,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade, ()> {
        SubstreamProtocol::new(Upgrade(self.protocols.clone()), ())
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, Reply, Infallible>> {
        match self.requests.poll_next_unpin(cx) {
            Poll::Ready(Some(r)) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Upgrade(vec![r.protocol]), r.reply),
            }),
            _ => Poll::Pending,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Upgrade, Upgrade, (), Reply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => {
                let _ = self.inbound.unbounded_send(Inbound { protocol, stream });
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => {
                let _ = reply.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info: reply }) => {
                let _ = reply.send(Err(io::Error::other(error.to_string())));
            }
            _ => {}
        }
    }
}

pub struct Upgrade(Vec<StreamProtocol>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
