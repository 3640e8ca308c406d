/* SPDX-License-Identifier: MIT */
#pragma once

/* For handles that start operations of their own on a connection's: tcp_close() cancels these with
 * all others, and closed() comes when none is in flight any more. */

#include "uring/tcp.h"

void tcp_op_start(struct tcp_conn *c, struct op *op);
/* First thing in the operation's callback; the last one is tcp_close_when_idle(). */
void tcp_op_ended(struct tcp_conn *c);
void tcp_close_when_idle(struct tcp_conn *c);
