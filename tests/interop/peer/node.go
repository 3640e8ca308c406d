// SPDX-License-Identifier: MIT

package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

type node struct {
	host    host.Host
	out     *lineWriter
	streams *streamCounter
	gater   *gater
	sums    peak
	served  counters

	reserved sync.Map  // by relay, once there was a reservation
	dialBack host.Host // of AutoNAT, or nil
	autonat  string    // the flag
	first    io.Closer // a server of AutoNAT v1, or nil
}

// stackOptions leaves a peer no other way to speak than the one that is asked for.
func stackOptions(stack string) ([]libp2p.Option, error) {
	muxer := libp2p.Muxer(yamux.ID, yamux.DefaultTransport)
	switch stack {
	case "quic":
		return []libp2p.Option{libp2p.Transport(libp2pquic.NewTransport)}, nil
	case "tcp-noise":
		return []libp2p.Option{
			libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New), muxer}, nil
	case "tcp-tls":
		return []libp2p.Option{
			libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New), muxer}, nil
	case "ws-noise":
		return []libp2p.Option{
			libp2p.Transport(websocket.New), libp2p.Security(noise.ID, noise.New), muxer}, nil
	}
	return nil, fmt.Errorf("no such stack: %q", stack)
}

func newNode(cfg *config, out *lineWriter) (*node, error) {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(cfg.seed))
	if err != nil {
		return nil, err
	}
	limits := rcmgr.DefaultLimits.AutoScale()
	if cfg.raised {
		limits = rcmgr.InfiniteLimits
	}
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits))
	if err != nil {
		return nil, err
	}
	n := &node{out: out, streams: newStreamCounter(manager)}
	opts, err := stackOptions(cfg.stack)
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		libp2p.Identity(key),
		libp2p.UserAgent(cfg.agent),
		libp2p.ListenAddrStrings(cfg.listen...),
		libp2p.ResourceManager(n.streams),
		libp2p.DisableMetrics(),
	)
	opts = append(opts, circuitOptions(n, cfg)...)
	if cfg.gate {
		if n.gater, err = newGater(cfg.allowed); err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.ConnectionGater(n.gater))
	}
	if n.host, err = libp2p.New(opts...); err != nil {
		return nil, err
	}
	n.host.Network().Notify(&network.NotifyBundle{
		ConnectedF: n.onConnected, DisconnectedF: n.onDisconnected})
	if err := n.reportIdentify(); err != nil {
		return nil, err
	}
	if cfg.dcutr {
		if err := n.reportPunching(); err != nil {
			return nil, err
		}
	}
	n.serveProtocols()
	if cfg.relay != "" {
		if err := serveRelay(n.host, out, cfg.relay); err != nil {
			return nil, err
		}
	}
	if err := n.openAutoNAT(cfg); err != nil {
		return nil, err
	}
	return n, n.serveServices(cfg)
}

func (n *node) close() {
	if n.first != nil {
		n.first.Close()
	}
	n.host.Close()
	if n.dialBack != nil {
		n.dialBack.Close()
	}
}

func (n *node) onConnected(_ network.Network, c network.Conn) {
	f := circuitFields(c)
	f["conn"], f["peer"] = c.ID(), c.RemotePeer().String()
	f["dir"] = strings.ToLower(c.Stat().Direction.String())
	f["local"], f["remote"] = c.LocalMultiaddr().String(), c.RemoteMultiaddr().String()
	n.out.event("connected", f)
	var qc *quic.Conn
	if !c.As(&qc) {
		return
	}
	// The QUIC connection's own context tells why it ended; the swarm's event doesn't.
	go func() {
		<-qc.Context().Done()
		fields := closeReason(context.Cause(qc.Context()))
		fields["conn"], fields["peer"] = c.ID(), c.RemotePeer().String()
		n.out.event("closed", fields)
	}()
}

// Of other connections than QUIC's the end has no reason that could be told.
func (n *node) onDisconnected(_ network.Network, c network.Conn) {
	var qc *quic.Conn
	if !c.As(&qc) {
		n.out.event("closed", map[string]any{"conn": c.ID(), "peer": c.RemotePeer().String()})
	}
}

// closeReason says who closed a QUIC connection, on which level and with which code.
func closeReason(err error) map[string]any {
	f := map[string]any{"kind": "other", "remote": false, "code": -1, "text": fmt.Sprint(err)}
	var ae *quic.ApplicationError
	var te *quic.TransportError
	var idle *quic.IdleTimeoutError
	switch {
	case errors.As(err, &ae):
		f["kind"], f["remote"], f["code"] = "application", ae.Remote, uint64(ae.ErrorCode)
	case errors.As(err, &te):
		f["kind"], f["remote"], f["code"] = "transport", te.Remote, uint64(te.ErrorCode)
	case errors.As(err, &idle):
		f["kind"] = "idle"
	}
	return f
}

func (n *node) reportIdentify() error {
	sub, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed)})
	if err != nil {
		return err
	}
	go func() {
		for e := range sub.Out() {
			switch ev := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				n.out.event("identified", identifyFields(ev))
			case event.EvtPeerIdentificationFailed:
				n.out.event("identify-failed", map[string]any{
					"peer": ev.Peer.String(), "text": fmt.Sprint(ev.Reason)})
			}
		}
	}()
	return nil
}

func identifyFields(ev event.EvtPeerIdentificationCompleted) map[string]any {
	listen := []string{}
	for _, a := range ev.ListenAddrs {
		listen = append(listen, a.String())
	}
	observed := ""
	if ev.ObservedAddr != nil {
		observed = ev.ObservedAddr.String()
	}
	return map[string]any{
		"conn": ev.Conn.ID(), "peer": ev.Peer.String(), "agent": ev.AgentVersion,
		"protocol_version": ev.ProtocolVersion, "protocols": protocol.ConvertToStrings(ev.Protocols),
		"listen": listen, "observed": observed, "signed": ev.SignedPeerRecord != nil,
	}
}

// streamCounter is a resource manager that also counts, by peer and protocol, which streams were
// opened.  It sees a stream before any handler does, so a stream that it didn't count never was.
type streamCounter struct {
	network.ResourceManager
	mu    sync.Mutex
	count map[corepeer.ID]map[string]int
}

func newStreamCounter(m network.ResourceManager) *streamCounter {
	return &streamCounter{ResourceManager: m, count: map[corepeer.ID]map[string]int{}}
}

func (s *streamCounter) add(p corepeer.ID, dir network.Direction, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[p] == nil {
		s.count[p] = map[string]int{}
	}
	s.count[p][strings.ToLower(dir.String())+" "+what]++
}

func (s *streamCounter) of(p corepeer.ID) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := map[string]int{}
	for k, v := range s.count[p] {
		r[k] = v
	}
	return r
}

func (s *streamCounter) OpenStream(p corepeer.ID, dir network.Direction) (network.StreamManagementScope, error) {
	scope, err := s.ResourceManager.OpenStream(p, dir)
	if err != nil {
		return nil, err
	}
	s.add(p, dir, "streams")
	return &countedScope{scope, s, p, dir}, nil
}

type countedScope struct {
	network.StreamManagementScope
	counter *streamCounter
	peer    corepeer.ID
	dir     network.Direction
}

func (c *countedScope) SetProtocol(p protocol.ID) error {
	c.counter.add(c.peer, c.dir, string(p))
	return c.StreamManagementScope.SetProtocol(p)
}

// gater lets the peer play a gated daemon: dialling is free, inbound peers must be listed.
type gater struct{ allowed map[corepeer.ID]bool }

func newGater(ids []string) (*gater, error) {
	g := &gater{allowed: map[corepeer.ID]bool{}}
	for _, s := range ids {
		id, err := corepeer.Decode(s)
		if err != nil {
			return nil, err
		}
		g.allowed[id] = true
	}
	return g, nil
}

func (g *gater) InterceptPeerDial(corepeer.ID) bool               { return true }
func (g *gater) InterceptAddrDial(corepeer.ID, ma.Multiaddr) bool { return true }
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool      { return true }
func (g *gater) InterceptSecured(dir network.Direction, p corepeer.ID, _ network.ConnMultiaddrs) bool {
	return dir == network.DirOutbound || g.allowed[p]
}
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// mayUse tells whether a peer may use the protocols that only authorized peers may.
func (n *node) mayUse(p corepeer.ID) bool { return n.gater == nil || n.gater.allowed[p] }
