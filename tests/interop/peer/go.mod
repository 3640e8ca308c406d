// The one source of the test peer.  The modules in ../go-v0.47 and ../go-latest raise the
// requirement below to the version that each of them pins.
module peerup.test/interop/peer

go 1.24.6

require (
	github.com/libp2p/go-libp2p v0.47.0
	github.com/multiformats/go-multiaddr v0.16.0
	github.com/quic-go/quic-go v0.59.0
)
