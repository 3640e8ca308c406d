// SPDX-License-Identifier: MIT

// Command golibp2p is the rival that bench/run.py measures peerup against: a plain TCP forwarder
// on go-libp2p, written as its documentation suggests, with nothing that holds it back.
//
//	golibp2p -listen ADDR:PORT -target HOST:PORT            serve a TCP target on a protocol
//	golibp2p -connect /ip4/…/p2p/ID -local HOST:PORT        accept TCP, one stream a connection
//	golibp2p -connect /ip4/…/p2p/ID -handshakes N MS        new connections, N at a time, for MS
//	golibp2p -listen ADDR:PORT -relay BYTES                 relay circuits through buffers of BYTES
//	golibp2p -via /ip4/…/p2p/ID -target HOST:PORT           serve behind that relay
//
// -transport is quic (default), noise or tls; the last two are TCP with yamux. The serving side
// prints the multiaddr to connect to, the other side prints one line when it is connected. What
// runs inside a circuit is secured and multiplexed as what is outside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
)

const (
	forwardProtocol = protocol.ID("/bench/forward/1.0.0")
	// Twice io.Copy's own buffer; larger ones measured no better over QUIC.
	copyBytes   = 64 << 10
	openTimeout = 30 * time.Second
	connsMax    = 1 << 20
)

var copyBuffers = sync.Pool{New: func() any {
	buffer := make([]byte, copyBytes)
	return &buffer
}}

// halfCloser is what a TCP connection and a libp2p stream have in common.
type halfCloser interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// plainReader and plainWriter hide ReadFrom and WriteTo, with which io.CopyBuffer would fall back
// to its own 32 KiB buffer and ignore ours.
type (
	plainReader struct{ io.Reader }
	plainWriter struct{ io.Writer }
)

func copyHalf(dst, src halfCloser) error {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	if _, err := io.CopyBuffer(plainWriter{dst}, plainReader{src}, *buffer); err != nil {
		return err
	}
	return dst.CloseWrite()
}

// forward pumps both ways with half-close until both directions ended; an error in one direction
// resets both ends.
func forward(conn *net.TCPConn, stream network.Stream) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		abortOn(copyHalf(stream, conn), conn, stream)
	}()
	abortOn(copyHalf(conn, stream), conn, stream)
	<-done
	conn.Close()
	stream.Close()
}

func abortOn(err error, conn *net.TCPConn, stream network.Stream) {
	if err == nil {
		return
	}
	conn.SetLinger(0)
	conn.Close()
	stream.Reset()
}

func transportOptions(transport string) ([]libp2p.Option, string, error) {
	switch transport {
	case "quic":
		return []libp2p.Option{libp2p.Transport(quic.NewTransport)}, "/ip4/%s/udp/%s/quic-v1", nil
	case "noise":
		return []libp2p.Option{
			libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New),
		}, "/ip4/%s/tcp/%s", nil
	case "tls":
		return []libp2p.Option{
			libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New),
		}, "/ip4/%s/tcp/%s", nil
	}
	return nil, "", fmt.Errorf("unknown transport %q", transport)
}

// newHost makes a host with every limit of the resource manager lifted. What stays is the QUIC
// transport's own 256 incoming streams a connection, which has no option.
func newHost(transport, listen string, more ...libp2p.Option) (host.Host, error) {
	options, format, err := transportOptions(transport)
	if err != nil {
		return nil, err
	}
	onePeer := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connsMax}}
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}), rcmgr.WithLimitPerSubnet(onePeer, nil))
	if err != nil {
		return nil, err
	}
	options = append(options, libp2p.ResourceManager(manager), libp2p.DisableRelay(),
		libp2p.DisableMetrics())
	if listen == "" {
		options = append(options, libp2p.NoListenAddrs)
	} else {
		ip, port, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, err
		}
		options = append(options, libp2p.ListenAddrStrings(fmt.Sprintf(format, ip, port)))
	}
	return libp2p.New(append(options, more...)...)
}

func forwardTo(h host.Host, target string) {
	h.SetStreamHandler(forwardProtocol, func(stream network.Stream) {
		conn, err := net.Dial("tcp", target)
		if err != nil {
			stream.Reset()
			return
		}
		forward(conn.(*net.TCPConn), stream)
	})
}

func printAddrs(h host.Host) {
	for _, addr := range h.Addrs() {
		fmt.Printf("%s/p2p/%s\n", addr, h.ID())
	}
}

// serveCircuits relays without limits of data or time.
func serveCircuits(h host.Host, bufferBytes int) error {
	resources := relay.DefaultResources()
	resources.BufferSize = bufferBytes
	_, err := relay.New(h, relay.WithResources(resources), relay.WithInfiniteLimits())
	return err
}

// reserve prints the address behind the relay, for as long as the relay's reservations last.
func reserve(h host.Host, via string) error {
	info, err := peer.AddrInfoFromString(via)
	if err != nil {
		return err
	}
	if err := h.Connect(context.Background(), *info); err != nil {
		return err
	}
	if _, err := circuit.Reserve(context.Background(), h, *info); err != nil {
		return err
	}
	fmt.Printf("%s/p2p-circuit/p2p/%s\n", via, h.ID())
	return nil
}

func open(h host.Host, id peer.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	return h.NewStream(ctx, id, forwardProtocol)
}

func accept(h host.Host, address, local string) error {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	if err := h.Connect(context.Background(), *info); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", local)
	if err != nil {
		return err
	}
	fmt.Println("connected")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				stream, err := open(h, info.ID)
				if err != nil {
					conn.Close()
					return
				}
				forward(conn.(*net.TCPConn), stream)
			}()
		}
	}()
	return nil
}

// shakeHands makes a connection, has one ping answered, and closes the connection.
func shakeHands(h host.Host, info peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if err := h.Connect(ctx, info); err != nil {
		return err
	}
	defer h.Network().ClosePeer(info.ID)
	stream, err := h.NewStream(ctx, info.ID, ping.ID)
	if err != nil {
		return err
	}
	defer stream.Reset()
	var message [ping.PingSize]byte
	if _, err := stream.Write(message[:]); err != nil {
		return err
	}
	_, err = io.ReadFull(stream, message[:])
	return err
}

// handshakes prints how many connections could be made, in the words of bench/load. Each of those
// in flight has its own host, since a host has one connection to a peer.
func handshakes(transport, address string, inFlight int, milliseconds string) error {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	duration, err := time.ParseDuration(milliseconds + "ms")
	if err != nil {
		return err
	}
	hosts := make([]host.Host, inFlight)
	for i := range hosts {
		if hosts[i], err = newHost(transport, ""); err != nil {
			return err
		}
		defer hosts[i].Close()
	}
	var echoed, failed atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for _, h := range hosts {
		all.Add(1)
		go func() {
			defer all.Done()
			for first := true; first || time.Since(start) < duration; first = false {
				if err := shakeHands(h, *info); err != nil {
					failed.Add(1)
					log.Print(err)
				} else {
					echoed.Add(1)
				}
			}
		}()
	}
	all.Wait()
	seconds := time.Since(start).Seconds()
	fmt.Printf("{\"echoed\": %d, \"failed\": %d, \"seconds\": %.6f, \"per_second\": %.1f}\n",
		echoed.Load(), failed.Load(), seconds, float64(echoed.Load())/seconds)
	return nil
}

func printVersion() {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/libp2p/go-libp2p" || module.Path == "github.com/quic-go/quic-go" {
			fmt.Printf("%s %s\n", module.Path, module.Version)
		}
	}
	fmt.Println(info.GoVersion)
}

func run() error {
	transport := flag.String("transport", "quic", "quic, noise or tls")
	listen := flag.String("listen", "", "address to serve on")
	target := flag.String("target", "", "TCP service to expose")
	relayBytes := flag.Int("relay", 0, "relay, with buffers of so many bytes")
	via := flag.String("via", "", "multiaddr of the relay to serve behind")
	connect := flag.String("connect", "", "multiaddr of the serving side")
	local := flag.String("local", "", "TCP address to accept on")
	inFlight := flag.Int("handshakes", 0, "measure handshakes, so many at a time")
	version := flag.Bool("version", false, "print versions and exit")
	flag.Parse()
	if *version {
		printVersion()
		return nil
	}
	if *inFlight > 0 {
		return handshakes(*transport, *connect, *inFlight, flag.Arg(0))
	}
	var more []libp2p.Option
	if *via != "" || strings.Contains(*connect, "/p2p-circuit/") {
		more = append(more, libp2p.EnableRelay())
	}
	h, err := newHost(*transport, *listen, more...)
	if err != nil {
		return err
	}
	defer h.Close()
	switch {
	case *listen != "" && *relayBytes > 0:
		err = serveCircuits(h, *relayBytes)
		printAddrs(h)
	case *listen != "":
		forwardTo(h, *target)
		printAddrs(h)
	case *via != "":
		forwardTo(h, *target)
		err = reserve(h, *via)
	case *connect != "":
		err = accept(h, *connect, *local)
	default:
		err = errors.New("one of -listen, -via and -connect is needed")
	}
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
