// SPDX-License-Identifier: MIT

// The test peer on go-libp2p v0.47, pinned by go.mod and go.sum beside this file.
package main

import "peerup.test/interop/peer"

func main() { peer.Main() }
