// SPDX-License-Identifier: MIT

package peer

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

// command holds the arguments of all commands; each one uses those that its comment names.
type command struct {
	ID        int    `json:"id"`
	Cmd       string `json:"cmd"`
	Addr      string `json:"addr"`
	Peer      string `json:"peer"`
	Service   string `json:"service"`
	Proto     string `json:"proto"`
	Line      string `json:"line"`
	Hex       string `json:"hex"`
	Then      string `json:"then"`
	Count     int    `json:"count"`
	Size      uint64 `json:"size"`
	Up        uint64 `json:"up"`
	Down      uint64 `json:"down"`
	TimeoutMS int    `json:"timeout_ms"`
}

type fields = map[string]any

var commands = map[string]func(*node, context.Context, command) (fields, error){
	"dial":      (*node).cmdDial,
	"reserve":   (*node).cmdReserve,
	"probe":     (*node).cmdProbe,
	"close":     (*node).cmdClose,
	"conns":     (*node).cmdConns,
	"stats":     (*node).cmdStats,
	"ping":      (*node).cmdPing,
	"pingpong":  (*node).cmdPingPong,
	"perf":      (*node).cmdPerf,
	"sum":       (*node).cmdSum,
	"reverse":   (*node).cmdReverse,
	"reset":     (*node).cmdReset,
	"proxy":     (*node).cmdProxy,
	"open":      (*node).cmdOpen,
	"raw":       (*node).cmdRaw,
	"handshake": (*node).cmdHandshake,
	"hang-up":   (*node).cmdHangUp,
}

func (n *node) execute(c command) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.TimeoutMS)*time.Millisecond)
	defer cancel()
	f, ok := commands[c.Cmd]
	if !ok {
		n.out.write(fields{"id": c.ID, "error": "no such command: " + c.Cmd})
		return
	}
	reply, err := f(n, ctx, c)
	if reply == nil {
		reply = fields{}
	}
	reply["id"] = c.ID
	if err != nil {
		reply["error"] = err.Error()
	}
	n.out.write(reply)
}

// dial {addr}: connects to a full multiaddr, or finds the connection that is there.  Tells with which
// status a relay refused.
func (n *node) cmdDial(ctx context.Context, c command) (fields, error) {
	conn, err := n.dial(ctx, c.Addr)
	if err != nil {
		return refusal(err), err
	}
	return fields{"peer": conn.RemotePeer().String(), "conn": conn.ID()}, nil
}

func (n *node) dial(ctx context.Context, addr string) (network.Conn, error) {
	m, err := ma.NewMultiaddr(addr)
	if err != nil {
		return nil, err
	}
	info, err := corepeer.AddrInfoFromP2pAddr(m)
	if err != nil {
		return nil, err
	}
	n.host.Peerstore().ClearAddrs(info.ID)
	n.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	// An earlier failure must not keep this attempt from being made.
	if s, ok := n.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	return n.host.Network().DialPeer(onCircuits(ctx), info.ID)
}

// onCircuits allows what follows over a limited connection, too.
func onCircuits(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "command")
}

// close {peer}: closes all connections to the peer.
func (n *node) cmdClose(_ context.Context, c command) (fields, error) {
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	return nil, n.host.Network().ClosePeer(p)
}

// conns {peer}: the IDs of the live connections to the peer.
func (n *node) cmdConns(_ context.Context, c command) (fields, error) {
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, conn := range n.host.Network().ConnsToPeer(p) {
		ids = append(ids, conn.ID())
	}
	return fields{"conns": ids}, nil
}

// stats {peer}: what this peer served; and, if a peer is named, the streams that were ever opened
// from ("inbound") and to ("outbound") it, all of them and by protocol.
func (n *node) cmdStats(_ context.Context, c command) (fields, error) {
	f := fields{
		"sums": n.served.sums.Load(), "sums_peak": n.sums.largest(),
		"reverses": n.served.reverses.Load(), "resets": n.served.resets.Load()}
	if c.Peer == "" {
		return f, nil
	}
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	f["streams"] = n.streams.of(p)
	return f, nil
}

// ping {peer, count}: /ipfs/ping/1.0.0 on one stream.
func (n *node) cmdPing(ctx context.Context, c command) (fields, error) {
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := ping.Ping(network.WithNoDial(ctx, "ping"), n.host, p)
	rtts := []int64{}
	for range c.Count {
		select {
		case r := <-results:
			if r.Error != nil {
				return fields{"rtt_us": rtts}, r.Error
			}
			rtts = append(rtts, r.RTT.Microseconds())
		case <-ctx.Done():
			return fields{"rtt_us": rtts}, ctx.Err()
		}
	}
	return fields{"rtt_us": rtts}, nil
}

// stream opens a stream on a connection that must be there already.
func (n *node) stream(ctx context.Context, peer string, id protocol.ID) (network.Stream, error) {
	p, err := corepeer.Decode(peer)
	if err != nil {
		return nil, err
	}
	s, err := n.host.NewStream(network.WithNoDial(onCircuits(ctx), "command"), p, id)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	return s, nil
}

// pingpong {peer, line}: sends the line, tells the answer.
func (n *node) cmdPingPong(ctx context.Context, c command) (fields, error) {
	s, err := n.stream(ctx, c.Peer, pingPongID)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	start := time.Now()
	answer, err := pingPong(s, c.Line)
	if err != nil {
		s.Reset()
		return nil, err
	}
	return fields{"answer": answer, "rtt_us": time.Since(start).Microseconds()}, nil
}

// perf {peer, up, down}: one exchange; tells how much came and whether any of it came too early.
func (n *node) cmdPerf(ctx context.Context, c command) (fields, error) {
	s, err := n.stream(ctx, c.Peer, perfID)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	f, err := perf(s, c.Up, c.Down)
	if err != nil {
		s.Reset()
	}
	return f, err
}

// sum {peer, proto, count, size}: count exchanges at once on one connection.
func (n *node) cmdSum(ctx context.Context, c command) (fields, error) {
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	id := sumID
	if c.Proto != "" {
		id = protocol.ID(c.Proto) // a service's name
	}
	return nil, n.sumAll(ctx, p, id, c.Count, c.Size)
}

// reverse {peer, count, size}: count exchanges at once on one connection.
func (n *node) cmdReverse(ctx context.Context, c command) (fields, error) {
	return nil, atOnce(c.Count, func(int) error {
		s, err := n.stream(ctx, c.Peer, reverseID)
		if err != nil {
			return err
		}
		defer s.Close()
		err = reverse(s, c.Size)
		if err != nil {
			s.Reset()
		}
		return err
	})
}

// proxy {peer, service}: a TCP port whose connections are carried to the peer's service.
func (n *node) cmdProxy(_ context.Context, c command) (fields, error) {
	p, err := corepeer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	port, err := n.proxy(p, c.Service)
	return fields{"port": port}, err
}

// reset {peer}: resets a reverse in the midst of its answer.
func (n *node) cmdReset(ctx context.Context, c command) (fields, error) {
	s, err := n.stream(ctx, c.Peer, reverseID)
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], resetAnswerBytes)
	if _, err := s.Write(head[:]); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(s, head[:])
	return nil, err
}

// open {peer, proto, size, then}: opens a stream, writes size bytes and then: "read" reads to the
// end, "close" closes it as go does (STOP_SENDING with FIN).
func (n *node) cmdOpen(ctx context.Context, c command) (fields, error) {
	s, err := n.stream(ctx, c.Peer, protocol.ID(c.Proto))
	if err != nil {
		return fields{"outcome": "not opened", "text": err.Error()}, nil
	}
	if err := sendZeros(s, c.Size); err != nil {
		s.Reset()
		return outcome(0, err), nil
	}
	if c.Then == "close" {
		return fields{"outcome": "closed"}, s.Close()
	}
	got, err := io.Copy(io.Discard, s)
	s.Reset()
	return outcome(got, err), nil
}

// outcome says how reading a stream ended.
func outcome(got int64, err error) fields {
	f := fields{"bytes": got, "outcome": "end", "text": fmt.Sprint(err)}
	var se *network.StreamError
	var ce *network.ConnError
	var te net.Error
	switch {
	case err == nil:
	case errors.As(err, &se):
		f["outcome"], f["code"], f["remote"] = "reset", se.ErrorCode, se.Remote
	case errors.As(err, &ce):
		f["outcome"], f["code"], f["remote"] = "connection closed", ce.ErrorCode, ce.Remote
	case errors.Is(err, network.ErrReset): // without a code, as rust sends it over yamux
		f["outcome"], f["remote"] = "reset", true
	case errors.As(err, &te) && te.Timeout():
		f["outcome"] = "timeout"
	default:
		f["outcome"] = "error"
	}
	return f
}

// raw {addr, hex, then, count}: dials if need be and at once, before identify, opens a bare stream,
// writes the bytes, with then "end" also half-closes, and tells the first count bytes of what comes
// back and how it ended.
func (n *node) cmdRaw(ctx context.Context, c command) (fields, error) {
	request, err := hex.DecodeString(c.Hex)
	if err != nil {
		return nil, err
	}
	conn, err := n.dial(ctx, c.Addr)
	if err != nil {
		return fields{"outcome": "not connected", "hex": "", "text": err.Error()}, nil
	}
	s, err := conn.NewStream(ctx)
	if err != nil {
		return fields{"outcome": "not opened", "hex": "", "text": err.Error()}, nil
	}
	defer s.Reset()
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	_, err = s.Write(request)
	if err == nil && c.Then == "end" {
		err = s.CloseWrite()
	}
	if err != nil {
		f := outcome(0, err)
		f["hex"] = ""
		return f, nil
	}
	answer := make([]byte, c.Count)
	got, err := io.ReadFull(s, answer)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	f := outcome(int64(got), err)
	f["hex"] = hex.EncodeToString(answer[:got])
	return f, nil
}
