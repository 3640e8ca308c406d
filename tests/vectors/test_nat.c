/* SPDX-License-Identifier: MIT */
/* Goal: the messages of NAT traversal are read and written as other implementations do.
 * Spec: libp2p DCUtR. */
#include "relay/proto/dcutr_msg.h"
#include "tests/support/vectors.h"

enum { ROW_BYTES_MAX = 8192 };

/* --- dcutr.json ------------------------------------------------------------------------------ */

Test(dcutr, messages_come_out_as_they_went_in) {
    struct vectors v = vectors_open("dcutr");
    vectors_for_each(row, &v) {
        uint8_t memory[2][ROW_BYTES_MAX];
        static uint8_t out[DCUTR_OUT_MAX];
        const char *name = row_str(row, "name");
        struct bytes body = row_hex(row, "message", memory[0], ROW_BYTES_MAX);
        struct bytes delimited = row_hex(row, "delimited", memory[1], ROW_BYTES_MAX);
        struct multiaddr addrs[4];
        size_t count = 0;
        struct dcutr_msg msg;
        cr_assert_eq(dcutr_msg_decode(body, &msg), 0, "%s", name);
        cr_assert_eq(msg.type == DCUTR_MSG_SYNC, row_is(row, "name", "sync"), "%s", name);
        while (count < ARRAY_COUNT(addrs) && dcutr_msg_next_addr(&msg.addrs, &addrs[count]))
            count++;
        size_t len = dcutr_msg_encode(msg.type, addrs, count, out);
        cr_assert(bytes_equal(bytes_of(out, len), delimited), "%s", name);
    }
    vectors_close(&v);
}
