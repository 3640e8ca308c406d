// SPDX-License-Identifier: MIT

package peer

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	tcpConnectTimeout = 10 * time.Second
	streamOpenTimeout = 30 * time.Second
)

func serviceProtocol(name string) protocol.ID {
	return protocol.ID("/peerup/" + name + "/1.0.0")
}

func (n *node) serveServices(cfg *config) error {
	acl := map[string]map[corepeer.ID]bool{}
	for _, s := range cfg.acls {
		name, text, ok := strings.Cut(s, "=")
		id, err := corepeer.Decode(text)
		if !ok || err != nil {
			return fmt.Errorf("bad -acl %q: %v", s, err)
		}
		if acl[name] == nil {
			acl[name] = map[corepeer.ID]bool{}
		}
		acl[name][id] = true
	}
	for _, s := range cfg.services {
		name, target, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("bad -serve %q", s)
		}
		n.host.SetStreamHandler(serviceProtocol(name), func(s network.Stream) {
			p := s.Conn().RemotePeer()
			if !n.mayUse(p) || (acl[name] != nil && !acl[name][p]) {
				s.Reset()
				return
			}
			serveService(s, target)
		})
	}
	return nil
}

func serveService(s network.Stream, target string) {
	c, err := net.DialTimeout("tcp", target, tcpConnectTimeout)
	if err != nil {
		s.Reset()
		return
	}
	join(s, c.(*net.TCPConn))
}

// proxy accepts TCP connections on a loopback port and opens one stream for each.
func (n *node) proxy(p corepeer.ID, service string) (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.proxyOne(p, service, c.(*net.TCPConn))
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (n *node) proxyOne(p corepeer.ID, service string, c *net.TCPConn) {
	ctx, cancel := context.WithTimeout(context.Background(), streamOpenTimeout)
	defer cancel()
	s, err := n.host.NewStream(ctx, p, serviceProtocol(service))
	if err != nil {
		abortTCP(c)
		return
	}
	join(s, c)
}

func abortTCP(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// join copies both ways until both directions ended.  An end on one side becomes a half-close on
// the other; anything worse aborts both, so that a reset is seen as a reset.
func join(s network.Stream, c *net.TCPConn) {
	var wg sync.WaitGroup
	var once sync.Once
	abort := func() {
		s.Reset()
		abortTCP(c)
	}
	half := func(dst io.Writer, src io.Reader, closeWrite func() error) {
		defer wg.Done()
		if _, err := io.Copy(dst, src); err != nil {
			once.Do(abort)
			return
		}
		if err := closeWrite(); err != nil {
			once.Do(abort)
		}
	}
	wg.Add(2)
	go half(s, c, s.CloseWrite)
	go half(c, s, c.CloseWrite)
	wg.Wait()
	s.Close()
	c.Close()
}
