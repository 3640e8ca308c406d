// SPDX-License-Identifier: MIT

package peer

import (
	"context"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	ma "github.com/multiformats/go-multiaddr"
)

// serveFirstAutoNAT serves AutoNAT v1, which go does only where it takes itself for public.
func serveFirstAutoNAT(h, dialBack host.Host) (io.Closer, error) {
	a, err := autonat.New(h, autonat.EnableService(dialBack.Network()),
		autonat.WithReachability(network.ReachabilityPublic))
	if err != nil {
		return nil, err
	}
	return a.(io.Closer), nil
}

// probeByFirst asks a server of v1, which dials the port of the address where it sees us.
func probeByFirst(ctx context.Context, h host.Host, server corepeer.ID, addr ma.Multiaddr) (fields, error) {
	own := func() []ma.Multiaddr { return []ma.Multiaddr{addr} }
	err := autonat.NewAutoNATClient(h, own, nil).DialBack(ctx, server)
	switch {
	case err == nil:
		return fields{"verdict": "reachable"}, nil
	case autonat.IsDialError(err):
		return fields{"verdict": "unreachable"}, nil
	case autonat.IsDialRefused(err):
		return fields{"verdict": "refused"}, nil
	}
	return nil, err
}
