// SPDX-License-Identifier: MIT

package peer

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2/pb"
	ma "github.com/multiformats/go-multiaddr"
)

const askAgain = 20 * time.Millisecond

// openAutoNAT makes the host that an AutoNAT dials back with, and starts the server if it is one.
func (n *node) openAutoNAT(cfg *config) error {
	n.autonat = cfg.autonat
	if cfg.autonat == "off" {
		return nil
	}
	opts, err := stackOptions(cfg.stack)
	if err != nil {
		return err
	}
	opts = append(opts, libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics())
	if n.dialBack, err = libp2p.New(opts...); err != nil {
		return err
	}
	switch cfg.autonat {
	case "server":
		_, err = n.startAutoNAT()
	case "v1-server":
		n.first, err = serveFirstAutoNAT(n.host, n.dialBack)
	}
	return err
}

func (n *node) startAutoNAT() (*autonatv2.AutoNAT, error) {
	a, err := autonatv2.New(n.dialBack, autonatv2.WithMetricsTracer(probeWatch{n.out}))
	if err != nil {
		return nil, err
	}
	return a, a.Start(n.host)
}

// probe {peer, addr}: has the peer, to which there is a connection, try whether we can be reached
// at the address.  A client of its own for each, since go's asks a server once in two minutes.
func (n *node) cmdProbe(ctx context.Context, c command) (fields, error) {
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	addr, err := ma.NewMultiaddr(c.Addr)
	if err != nil {
		return nil, err
	}
	if n.dialBack == nil {
		return nil, errors.New("-autonat is off")
	}
	if n.autonat == "v1-client" {
		return probeByFirst(ctx, n.host, p, addr)
	}
	a, err := n.startAutoNAT()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if err := n.tellOf(p); err != nil {
		return nil, err
	}
	for {
		result, err := a.GetReachability(ctx, []autonatv2.Request{{Addr: addr, SendDialData: true}})
		if err == nil {
			return fields{"verdict": verdict(result)}, nil
		}
		if !errors.Is(err, autonatv2.ErrNoPeers) || ctx.Err() != nil {
			return nil, err
		}
		time.Sleep(askAgain) // it has not yet heard of the peer
	}
}

// tellOf lets a new AutoNAT client look at a peer that was connected before it came.
func (n *node) tellOf(p corepeer.ID) error {
	emitter, err := n.host.EventBus().Emitter(new(event.EvtPeerConnectednessChanged))
	if err != nil {
		return err
	}
	defer emitter.Close()
	return emitter.Emit(event.EvtPeerConnectednessChanged{Peer: p, Connectedness: network.Connected})
}

func verdict(r autonatv2.Result) string {
	switch {
	case r.AllAddrsRefused:
		return "refused"
	case r.Reachability == network.ReachabilityPublic:
		return "reachable"
	case r.Reachability == network.ReachabilityPrivate:
		return "unreachable"
	}
	return "none"
}

// probeWatch tells what the server found, in events "probed".
type probeWatch struct{ out *lineWriter }

func (w probeWatch) CompletedRequest(e autonatv2.EventDialRequestCompleted) {
	reached := e.ResponseStatus == pb.DialResponse_OK && e.DialStatus == pb.DialStatus_OK
	f := fields{"reached": reached, "data": e.DialDataRequired}
	if e.DialedAddr != nil {
		f["addr"] = e.DialedAddr.String()
	}
	if e.Error != nil {
		f["text"] = e.Error.Error()
	}
	w.out.event("probed", f)
}

func (w probeWatch) ClientCompletedRequest([]autonatv2.Request, autonatv2.Result, error) {}
