// SPDX-License-Identifier: MIT

package peer

import (
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

func punchOption(n *node) libp2p.Option {
	return libp2p.EnableHolePunching(holepunch.WithTracer(&punchWatch{n}))
}

// reportPunching tells, in an event "punch", when the service has a public address to punch with: it
// then serves its protocol, and acts for circuits that come after that.
func (n *node) reportPunching() error {
	sub, err := n.host.EventBus().Subscribe(new(event.EvtLocalProtocolsUpdated))
	if err != nil {
		return err
	}
	go func() {
		defer sub.Close()
		for !slices.Contains(n.host.Mux().Protocols(), holepunch.Protocol) {
			if _, ok := <-sub.Out(); !ok {
				return
			}
		}
		n.out.event("punch", fields{"state": "ready"})
	}()
	return nil
}

// punchWatch tells how hole punching goes, in events "punch".
type punchWatch struct{ node *node }

func (w *punchWatch) Trace(e *holepunch.Event) {
	f := fields{"peer": e.Remote.String()}
	switch ev := e.Evt.(type) {
	case *holepunch.StartHolePunchEvt:
		f["state"], f["addrs"], f["rtt_us"] = "started", ev.RemoteAddrs, ev.RTT.Microseconds()
	case *holepunch.EndHolePunchEvt:
		w.ended(f, e.Remote, "succeeded", ev.Success, ev.Error)
	case *holepunch.DirectDialEvt:
		w.ended(f, e.Remote, "reversed", ev.Success, ev.Error)
	case *holepunch.ProtocolErrorEvt:
		w.ended(f, e.Remote, "", false, ev.Error)
	default:
		return
	}
	w.node.out.event("punch", f)
}

func (w *punchWatch) ended(f fields, p corepeer.ID, state string, success bool, text string) {
	if !success {
		f["state"], f["text"] = "failed", text
		return
	}
	f["state"] = state
	for _, c := range w.node.host.Network().ConnsToPeer(p) {
		if !isCircuit(c.RemoteMultiaddr()) {
			f["addr"] = c.RemoteMultiaddr().String()
		}
	}
}
