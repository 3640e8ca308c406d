/* SPDX-License-Identifier: MIT */
/* Goal: the messages of NAT traversal are read and written as other implementations do.
 * Spec: libp2p DCUtR, AutoNAT. */
#include "relay/proto/autonat_msg.h"
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

/* --- autonat.json ---------------------------------------------------------------------------- */

/* Encodes what `m` says once more; 0 for what we never write. */
static size_t encode_again(struct autonat_msg *m, uint8_t out[AUTONAT_OUT_MAX]) {
    struct multiaddr addrs[4];
    struct bytes raw;
    size_t count = 0;
    switch (m->type) {
    case AUTONAT_DIAL_REQUEST:
        while (autonat_next_addr(&m->addrs, &raw))
            cr_assert_eq(multiaddr_decode(raw, &addrs[count++]), 0);
        return autonat_encode_request(addrs, count, m->nonce, out);
    case AUTONAT_DIAL_RESPONSE:
        return autonat_encode_response((enum autonat_status)m->status, m->addr_index,
                                       (enum autonat_dial_status)m->dial_status, out);
    case AUTONAT_DATA_REQUEST:
        return autonat_encode_data_request(m->addr_index, m->data_bytes, out);
    case AUTONAT_DATA_RESPONSE:
        return autonat_encode_data(m->data_bytes, out);
    }
    return 0;
}

Test(autonat, messages_of_v2_come_out_as_they_went_in) {
    struct vectors v = vectors_open("autonat");
    size_t rows_count = 0;
    vectors_for_each(row, &v) {
        uint8_t memory[2][ROW_BYTES_MAX];
        static uint8_t out[AUTONAT_OUT_MAX];
        const char *name = row_str(row, "name");
        if (strncmp(name, "v2-", 3) != 0 || !row_has(row, "message"))
            continue;
        struct bytes body = row_hex(row, "message", memory[0], ROW_BYTES_MAX);
        struct bytes delimited = row_hex(row, "delimited", memory[1], ROW_BYTES_MAX);
        struct autonat_msg m;
        uint64_t nonce;
        size_t len = 0;
        rows_count++;
        if (row_is(row, "name", "v2-dial-back-response-ok")) {
            cr_assert(bytes_equal(AUTONAT_DIAL_BACK_ANSWER, delimited), "%s", name);
            continue;
        }
        if (row_is(row, "name", "v2-dial-back")) {
            cr_assert_eq(autonat_decode_dial_back(body, &nonce), 0, "%s", name);
            cr_assert_eq(nonce, 0x0102030405060708, "%s", name);
            len = autonat_encode_dial_back(nonce, out);
        } else {
            cr_assert_eq(autonat_decode(body, &m), 0, "%s", name);
            len = encode_again(&m, out);
        }
        cr_assert(bytes_equal(bytes_of(out, len), delimited), "%s", name);
    }
    cr_assert_eq(rows_count, 10);
    vectors_close(&v);
}

Test(autonat, a_frame_of_data_begins_as_the_vector_says) {
    struct vectors v = vectors_open("autonat");
    static uint8_t out[AUTONAT_OUT_MAX];
    vectors_for_each(row, &v) {
        uint8_t memory[32];
        if (!row_has(row, "delimited_prefix"))
            continue;
        struct bytes prefix = row_hex(row, "delimited_prefix", memory, sizeof(memory));
        size_t len = autonat_encode_data(AUTONAT_DATA_FRAME, out);
        cr_assert_eq((json_int_t)len, json_integer_value(json_object_get(row, "delimited_len")));
        cr_assert(bytes_start_with(bytes_of(out, len), prefix));
    }
    vectors_close(&v);
}

Test(autonat, messages_of_v1_are_written_and_read) {
    struct vectors v = vectors_open("autonat");
    vectors_for_each(row, &v) {
        uint8_t memory[2][ROW_BYTES_MAX];
        static uint8_t out[AUTONAT_V1_OUT_MAX];
        const char *name = row_str(row, "name");
        if (strncmp(name, "v1-", 3) != 0)
            continue;
        struct bytes body = row_hex(row, "message", memory[0], ROW_BYTES_MAX);
        struct bytes delimited = row_hex(row, "delimited", memory[1], ROW_BYTES_MAX);
        uint64_t status;
        if (row_is(row, "name", "v1-dial")) {
            struct peer_id self;
            struct multiaddr addr;
            cr_assert_eq(peer_id_decode(bytes_of(body.data + 8, 38), &self), 0);
            cr_assert_eq(multiaddr_parse("/ip4/192.0.2.1/tcp/4001", &addr), 0);
            size_t len = autonat_v1_encode_dial(&self, &addr, 1, out);
            cr_assert(bytes_equal(bytes_of(out, len), delimited), "%s", name);
            struct autonat_v1_dial d;
            struct bytes raw;
            cr_assert_eq(autonat_v1_decode_dial(body, &d), 0);
            cr_assert(bytes_equal(d.peer, peer_id_bytes(&self)));
            cr_assert(autonat_v1_next_addr(&d.addrs, &raw));
            cr_assert(bytes_equal(raw, multiaddr_bytes(&addr)));
            cr_assert_not(autonat_v1_next_addr(&d.addrs, &raw));
            continue;
        }
        bool is_ok = row_is(row, "name", "v1-response-ok");
        cr_assert_eq(autonat_v1_decode_response(body, &status), 0, "%s", name);
        cr_assert_eq(status, is_ok ? AUTONAT_V1_OK : AUTONAT_V1_E_DIAL_ERROR, "%s", name);
        if (!is_ok)
            continue; /* of a text, which we do not write */
        struct multiaddr reached;
        cr_assert_eq(multiaddr_parse("/ip4/192.0.2.1/tcp/4001", &reached), 0);
        size_t len = autonat_v1_encode_response(AUTONAT_V1_OK, &reached, out);
        cr_assert(bytes_equal(bytes_of(out, len), delimited), "%s", name);
    }
    vectors_close(&v);
}
