/* SPDX-License-Identifier: MIT */
#pragma once

/* Codes with which connections and streams end.  QUIC carries them in CONNECTION_CLOSE,
 * RESET_STREAM and STOP_SENDING, yamux in the length of GO_AWAY and of a window update with RST.
 * The two tables are shifted against each other by one.
 *
 * Source: libp2p connection-lifecycle.md, "Closing and error codes". */

enum conn_code {
    CONN_CODE_NONE = 0,
    CONN_CODE_NEGOTIATION_FAILED = 0x1000,
    CONN_CODE_RESOURCE_LIMIT = 0x1001,
    CONN_CODE_RATE_LIMITED = 0x1002,
    CONN_CODE_PROTOCOL_VIOLATION = 0x1003,
    CONN_CODE_SUPPLANTED = 0x1004,
    CONN_CODE_GARBAGE_COLLECTED = 0x1005,
    CONN_CODE_SHUTDOWN = 0x1006,
    CONN_CODE_GATED = 0x1007,
};

enum stream_code {
    STREAM_CODE_NONE = 0,
    STREAM_CODE_NEGOTIATION_FAILED = 0x1001,
    STREAM_CODE_RESOURCE_LIMIT = 0x1002,
    STREAM_CODE_RATE_LIMITED = 0x1003,
    STREAM_CODE_PROTOCOL_VIOLATION = 0x1004,
    STREAM_CODE_SHUTDOWN = 0x1007,
    STREAM_CODE_GATED = 0x1008,
};
