// SPDX-License-Identifier: MIT

package peer

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	pbv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	relayv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// circuitOptions let a peer use relays.  It says that it can't be reached, so that it announces the
// circuits that it can be reached over.
func circuitOptions(n *node, cfg *config) []libp2p.Option {
	if !cfg.circuit {
		return []libp2p.Option{libp2p.DisableRelay()}
	}
	opts := []libp2p.Option{libp2p.EnableRelay(), libp2p.ForceReachabilityPrivate()}
	if cfg.dcutr {
		opts = append(opts, punchOption(n))
	}
	return opts
}

// circuitFields says of a connection whether it is a circuit, and if so within which limit; nil: none.
func circuitFields(c network.Conn) fields {
	if !isCircuit(c.RemoteMultiaddr()) {
		return fields{"relayed": false}
	}
	f := fields{"relayed": true, "limit": nil}
	if stat := c.Stat(); stat.Limited {
		duration, _ := stat.Extra[client.StatLimitDuration].(time.Duration)
		f["limit"] = limitFields(duration, stat.Extra[client.StatLimitData])
	}
	return f
}

func limitFields(duration time.Duration, data any) fields {
	return fields{"duration": int64(duration.Seconds()), "data": data}
}

func isCircuit(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// ---- who uses a relay

// reserve {addr}: connects to the relay and reserves; once more is a renewal.  Tells of the
// reservation in the event "reserved".
func (n *node) cmdReserve(ctx context.Context, c command) (fields, error) {
	info, err := corepeer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	if err := n.host.Connect(ctx, *info); err != nil {
		return nil, err
	}
	r, err := client.Reserve(ctx, n.host, *info)
	if err != nil {
		if re, ok := err.(client.ReservationError); ok && re.Status != pbv2.Status_CONNECTION_FAILED {
			return fields{"status": int(re.Status)}, err
		}
		return nil, err
	}
	_, renewal := n.reserved.Swap(info.ID, true)
	f := fields{"relay": info.ID.String(), "renewal": renewal, "expire": r.Expiration.Unix(),
		"addrs": addrStrings(r.Addrs), "voucher": r.Voucher != nil && r.Voucher.Relay == info.ID, "limit": nil}
	if r.LimitDuration != 0 || r.LimitData != 0 {
		f["limit"] = limitFields(r.LimitDuration, r.LimitData)
	}
	n.out.event("reserved", f)
	return nil, n.announceCircuits(r.Addrs)
}

// announceCircuits says what AutoRelay would: the host announces them in its identify messages.
func (n *node) announceCircuits(relay []ma.Multiaddr) error {
	emitter, err := n.host.EventBus().Emitter(new(event.EvtAutoRelayAddrsUpdated))
	if err != nil {
		return err
	}
	defer emitter.Close()
	circuits := []ma.Multiaddr{}
	for _, a := range relay {
		circuits = append(circuits, a.Encapsulate(ma.StringCast("/p2p-circuit")))
	}
	return emitter.Emit(event.EvtAutoRelayAddrsUpdated{RelayAddrs: circuits})
}

func addrStrings(addrs []ma.Multiaddr) []string {
	texts := []string{}
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return texts
}

var refusedCircuit = regexp.MustCompile(`error opening relay circuit: \w+ \((\d+)\)`)

// refusal finds the status with which a relay refused a dial; go tells it in the text alone.
func refusal(err error) fields {
	if found := refusedCircuit.FindStringSubmatch(err.Error()); found != nil {
		status, _ := strconv.Atoi(found[1])
		return fields{"status": status}
	}
	return nil
}

// ---- the relay

// relayResources reads -relay: a list of "unlimited" and of KEY=NUMBER.
func relayResources(text string) (relayv2.Resources, error) {
	r := relayv2.DefaultResources()
	// The hosts of a test share one address.
	r.MaxReservationsPerIP, r.MaxReservationsPerASN = r.MaxReservations, r.MaxReservations
	for _, word := range strings.Split(text, ",") {
		if word == "unlimited" {
			r.Limit = nil
			continue
		}
		key, value, _ := strings.Cut(word, "=")
		number, err := strconv.Atoi(value)
		if err != nil {
			return r, fmt.Errorf("bad -relay %q", word)
		}
		switch key {
		case "duration":
			r.Limit.Duration = time.Duration(number) * time.Second
		case "data":
			r.Limit.Data = int64(number)
		case "reservations":
			r.MaxReservations = number
		case "circuits":
			r.MaxCircuits = number
		case "ttl":
			r.ReservationTTL = time.Duration(number) * time.Second
		default:
			return r, fmt.Errorf("bad -relay %q", word)
		}
	}
	return r, nil
}

func serveRelay(h host.Host, out *lineWriter, limits string) error {
	resources, err := relayResources(limits)
	if err != nil {
		return err
	}
	watch := &relayWatch{out: out}
	everyAddr := func(ma.Multiaddr) bool { return true } // loopback, too
	_, err = relayv2.New(h, relayv2.WithResources(resources),
		relayv2.WithReservationAddressFilter(everyAddr),
		relayv2.WithACL(watch), relayv2.WithMetricsTracer(watch))
	return err
}

// relayWatch tells what the relay does.  The service names the peers to its ACL and what came of it
// to its tracer, so the two are joined here; a test asks for one thing at a time.
type relayWatch struct {
	out      *lineWriter
	mu       sync.Mutex
	peer     corepeer.ID // who asked for a reservation
	renewal  bool
	src, dst corepeer.ID // who asked for a circuit, and to whom
	open     int
}

func (w *relayWatch) AllowReserve(p corepeer.ID, _ ma.Multiaddr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peer, w.renewal = p, false
	return true
}

func (w *relayWatch) AllowConnect(src corepeer.ID, _ ma.Multiaddr, dst corepeer.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.src, w.dst = src, dst
	return true
}

func (w *relayWatch) ReservationAllowed(isRenewal bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renewal = isRenewal
}

func (w *relayWatch) ReservationRequestHandled(status pbv2.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.event("reservation", fields{
		"peer": w.peer.String(), "status": int(status), "renewal": w.renewal})
}

func (w *relayWatch) ConnectionRequestHandled(status pbv2.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if status == pbv2.Status_OK {
		w.open++
	}
	w.out.event("circuit", fields{
		"src": w.src.String(), "dst": w.dst.String(), "status": int(status)})
}

// ConnectionClosed is also called for a circuit that came to nothing.
func (w *relayWatch) ConnectionClosed(time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open > 0 {
		w.open--
		w.out.event("circuit-ended", fields{})
	}
}

func (w *relayWatch) RelayStatus(bool)      {}
func (w *relayWatch) ConnectionOpened()     {}
func (w *relayWatch) ReservationClosed(int) {}
func (w *relayWatch) BytesTransferred(int)  {}
