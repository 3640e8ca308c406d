// SPDX-License-Identifier: MIT

// Package peer is the go-libp2p program that the interop suite runs against peerup.
//
// It speaks one transport stack, QUIC by default, and is driven by JSON lines: one command object a
// line on standard input, one reply (with the command's "id") or event (with "event") a line on
// standard output.  It ends when standard input does, or by SIGTERM, and closes its connections in
// order.  What it can do is the table in commands.go; ../README.md says what all peers share.
package peer

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
)

// A line of JSON is written whole, whoever writes it.
type lineWriter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (w *lineWriter) write(v map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.enc.Encode(v); err != nil {
		os.Exit(1) // the runner is gone
	}
}

func (w *lineWriter) event(name string, fields map[string]any) {
	fields["event"] = name
	w.write(fields)
}

type listFlag []string

func (l *listFlag) String() string     { return strings.Join(*l, ",") }
func (l *listFlag) Set(v string) error { *l = append(*l, v); return nil }

type config struct {
	seed     []byte
	stack    string
	agent    string
	raised   bool
	circuit  bool
	relay    string
	dcutr    bool
	autonat  string
	listen   listFlag
	services listFlag
	acls     listFlag
	gate     bool
	allowed  listFlag
}

func parseFlags() (*config, error) {
	c := &config{}
	seed := flag.String("seed", "", "Ed25519 seed, 32 bytes in hex")
	limits := flag.String("limits", "raised", "resource limits: raised or default")
	circuit := flag.String("circuit", "off", "on: circuits can be dialled and reserved")
	dcutr := flag.String("dcutr", "off", "on: punches holes, with -circuit on")
	flag.StringVar(&c.relay, "relay", "", "serve as a relay, with these limits: ../README.md")
	flag.StringVar(&c.autonat, "autonat", "off", "AutoNAT: client, server, v1-client, v1-server or off")
	flag.StringVar(&c.stack, "stack", "quic", "tcp-noise, tcp-tls, quic or ws-noise")
	flag.StringVar(&c.agent, "agent", "interop-go/1", "agent version told by identify")
	flag.BoolVar(&c.gate, "gate", false, "refuse inbound peers that -allow doesn't name")
	flag.Var(&c.listen, "listen", "multiaddr of the stack to listen on (repeatable)")
	flag.Var(&c.services, "serve", "NAME=HOST:PORT to expose as a service (repeatable)")
	flag.Var(&c.acls, "acl", "NAME=PEER-ID: only this peer may use the service (repeatable)")
	flag.Var(&c.allowed, "allow", "authorized peer ID (repeatable)")
	flag.Parse()

	var err error
	if c.seed, err = hex.DecodeString(*seed); err != nil || len(c.seed) != 32 {
		return nil, fmt.Errorf("-seed must be 64 hex digits")
	}
	if *limits != "raised" && *limits != "default" {
		return nil, fmt.Errorf("-limits must be raised or default")
	}
	c.raised = *limits == "raised"
	c.circuit, c.dcutr = *circuit == "on", *dcutr == "on"
	return c, nil
}

func libp2pVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/libp2p/go-libp2p" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// lacks says what go-libp2p can't do that a cell asks for: ../README.md.
func lacks(cfg *config) map[string]string {
	l := map[string]string{}
	if cfg.circuit {
		l["renewal"] = "in go AutoRelay renews a reservation, not the client"
	}
	if cfg.autonat == "client" && cfg.stack == "quic" {
		l["answer"] = "go's client resets its answer to a dial back, and over QUIC it is lost"
	}
	return l
}

// Main runs the peer until standard input ends or a signal asks it to.
func Main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run() error {
	cfg, err := parseFlags()
	if err != nil {
		return err
	}
	out := &lineWriter{enc: json.NewEncoder(os.Stdout)}
	n, err := newNode(cfg, out)
	if err != nil {
		return err
	}
	defer n.close()

	addrs := []string{}
	for _, a := range n.host.Network().ListenAddresses() {
		if !isCircuit(a) {
			addrs = append(addrs, a.String())
		}
	}
	out.event("ready", map[string]any{
		"peer": n.host.ID().String(), "addrs": addrs,
		"version":       fmt.Sprintf("go-libp2p %s, %s", libp2pVersion(), runtime.Version()),
		"limits_raised": cfg.raised, "lacks": lacks(cfg),
	})

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan error, 1)
	go func() { ended <- n.executeAll(os.Stdin) }()
	select {
	case <-signals:
		return nil
	case err := <-ended:
		return err
	}
}

func (n *node) executeAll(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return fmt.Errorf("bad command %q: %w", in.Text(), err)
		}
		go n.execute(c)
	}
	return in.Err()
}
