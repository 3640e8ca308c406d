/* SPDX-License-Identifier: MIT */
#pragma once

/* Protocol IDs, byte for byte.  Spec: libp2p README; peerup-protocols, section 2. */

#define PROTOCOL_MULTISTREAM       "/multistream/1.0.0"
#define PROTOCOL_NOISE             "/noise"
#define PROTOCOL_TLS               "/tls/1.0.0"
#define PROTOCOL_YAMUX             "/yamux/1.0.0"
#define PROTOCOL_IDENTIFY          "/ipfs/id/1.0.0"
#define PROTOCOL_IDENTIFY_PUSH     "/ipfs/id/push/1.0.0"
#define PROTOCOL_PING              "/ipfs/ping/1.0.0"
#define PROTOCOL_PERF              "/perf/1.0.0"
#define PROTOCOL_CIRCUIT_HOP       "/libp2p/circuit/relay/0.2.0/hop"
#define PROTOCOL_CIRCUIT_STOP      "/libp2p/circuit/relay/0.2.0/stop"
#define PROTOCOL_DCUTR             "/libp2p/dcutr"
#define PROTOCOL_AUTONAT_V1        "/libp2p/autonat/1.0.0"
#define PROTOCOL_AUTONAT_REQUEST   "/libp2p/autonat/2/dial-request"
#define PROTOCOL_AUTONAT_DIAL_BACK "/libp2p/autonat/2/dial-back"

#define PROTOCOL_PINGPONG    "/pingpong/1.0.0"         /* default of protocols.ping_pong.id */
#define PROTOCOL_RTT_PROBE   "/peerup/rtt-probe/1.0.0" /* never served */
#define PROTOCOL_INVITE      "/peerup/invite/1.0.0"
#define PROTOCOL_RELAY_PAIR  "/peerup/relay-pair/1.0.0"
#define PROTOCOL_PEER_NOTIFY "/peerup/peer-notify/1.0.0"
#define PROTOCOL_SPLICE      "/peerup/splice/1.0.0"

/* "/peerup/<service>/1.0.0" with a service name of at most 63 characters. */
#define PROTOCOL_SERVICE_PREFIX "/peerup/"
#define PROTOCOL_SERVICE_SUFFIX "/1.0.0"
