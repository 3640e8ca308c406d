/* SPDX-License-Identifier: MIT */
#pragma once

/* A yamux frame's header.  Spec: yamux.md, "Header". */

#include "core/base/bytes.h"

enum { YAMUX_FRAME_BYTES = 12 };

enum yamux_type { YAMUX_DATA, YAMUX_WINDOW_UPDATE, YAMUX_PING, YAMUX_GO_AWAY };

enum yamux_flag { YAMUX_SYN = 1, YAMUX_ACK = 2, YAMUX_FIN = 4, YAMUX_RST = 8 };

struct yamux_frame {
    enum yamux_type type;
    uint16_t flags;
    uint32_t stream_id;
    uint32_t length; /* DATA: body bytes; WINDOW_UPDATE: credit, or a code; PING: opaque; GO_AWAY:
                        code */
};

/* Reads YAMUX_FRAME_BYTES.  Unknown flags are kept and mean nothing.
 * -ERR_MALFORMED  an unknown version or type */
NODISCARD int yamux_frame_read(const uint8_t *in, struct yamux_frame *ret_frame);

/* Writes YAMUX_FRAME_BYTES. */
void yamux_frame_write(const struct yamux_frame *f, uint8_t *out);
