// SPDX-License-Identifier: MIT

package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// handshake {addr, proto, then}: a QUIC handshake of our own making, with that ALPN and with the
// certificates that "then" names: "good", "none", "two" (the good one twice), "garbage".
//
// Returns with which error the other side closed, or the outcome "connected" if it did not before
// the command's time was up.
func (n *node) cmdHandshake(ctx context.Context, c command) (fields, error) {
	address, config, err := n.handshakeConfig(c)
	if err != nil {
		return nil, err
	}
	conn, err := quic.DialAddr(ctx, address, config, &quic.Config{KeepAlivePeriod: 0})
	if err == nil {
		// Servers judge a client's certificate when the client believes that all is done.
		select {
		case <-conn.Context().Done():
			err = context.Cause(conn.Context())
		case <-ctx.Done():
			conn.CloseWithError(0, "")
			return fields{"outcome": "connected"}, nil
		}
	}
	f := fields{"outcome": "failed", "text": err.Error()}
	var closed *quic.TransportError
	if errors.As(err, &closed) {
		f["outcome"], f["code"], f["remote"] = "closed", uint64(closed.ErrorCode), closed.Remote
	}
	return f, nil
}

func (n *node) handshakeConfig(c command) (string, *tls.Config, error) {
	m, err := ma.NewMultiaddr(c.Addr)
	if err != nil {
		return "", nil, err
	}
	udp, _ := ma.SplitFunc(m, func(part ma.Component) bool { return part.Protocol().Code == ma.P_QUIC_V1 })
	address, err := manet.ToNetAddr(udp)
	if err != nil {
		return "", nil, err
	}
	identity, err := libp2ptls.NewIdentity(n.host.Peerstore().PrivKey(n.host.ID()))
	if err != nil {
		return "", nil, err
	}
	config, _ := identity.ConfigForPeer("")
	config.NextProtos = []string{c.Proto}
	config.VerifyPeerCertificate = nil // the other side is not the one that is judged here
	good := config.Certificates[0]
	shown := tls.Certificate{PrivateKey: good.PrivateKey}
	switch c.Then {
	case "good":
		shown.Certificate = good.Certificate
	case "two":
		shown.Certificate = [][]byte{good.Certificate[0], good.Certificate[0]}
	case "garbage":
		shown.Certificate = [][]byte{[]byte("this is no certificate")}
	case "none":
	default:
		return "", nil, errors.New("no such certificates: " + c.Then)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &shown, nil
	}
	return address.String(), config, nil
}

// hang-up {addr}: listens there for QUIC and closes each connection in the midst of its handshake,
// for the time of the command.  Answers at once, with the address.
func (n *node) cmdHangUp(_ context.Context, c command) (fields, error) {
	identity, err := libp2ptls.NewIdentity(n.host.Peerstore().PrivKey(n.host.ID()))
	if err != nil {
		return nil, err
	}
	config, _ := identity.ConfigForPeer("")
	config.NextProtos = []string{"libp2p"}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return nil, errors.New("hung up")
	}
	l, err := quic.ListenAddr(c.Addr, config, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		time.Sleep(time.Duration(c.TimeoutMS) * time.Millisecond)
		l.Close()
	}()
	return fields{"port": l.Addr().(*net.UDPAddr).Port}, nil
}
