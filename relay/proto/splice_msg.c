/* SPDX-License-Identifier: MIT */
#include "relay/proto/splice_msg.h"

#include "core/base/err.h"
#include "core/p2p/pb.h"

enum { FIELD_TYPE = 1, FIELD_PEER = 2, FIELD_TOKEN = 3, FIELD_STATUS = 4 };

const uint8_t splice_magic[SPLICE_MAGIC_BYTES] = {0x89, 'p', 'e', 'e', 'r', 'u', 'p', '/',
                                                  's',  'p', 'l', 'i', 'c', 'e', '1', '\n'};

static int take_field(struct splice_msg *m, const struct pb_field *f) {
    if (pb_is_uint(f, FIELD_TYPE)) {
        m->type = (enum splice_type)MIN(f->uint, (uint64_t)SPLICE_OTHER);
    } else if (pb_is_bytes(f, FIELD_PEER)) {
        m->has_peer = true;
        return peer_id_decode(f->bytes, &m->peer);
    } else if (pb_is_bytes(f, FIELD_TOKEN)) {
        if (f->bytes.len != SPLICE_TOKEN_BYTES)
            return -ERR_MALFORMED;
        m->has_token = true;
        memcpy(m->token, f->bytes.data, SPLICE_TOKEN_BYTES);
    } else if (pb_is_uint(f, FIELD_STATUS)) {
        m->has_status = true;
        m->status = (uint32_t)MIN(f->uint, (uint64_t)UINT32_MAX);
    }
    return 0;
}

int splice_msg_decode(struct bytes in, struct splice_msg *ret_msg) {
    struct splice_msg m = {.type = SPLICE_ASK};
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        int e = take_field(&m, &f);
        if (e < 0)
            return e;
    }
    int e = rd_done(&r);
    if (e == 0)
        *ret_msg = m;
    return e;
}

size_t splice_msg_encode(const struct splice_msg *m, uint8_t ret_out[SPLICE_OUT_MAX]) {
    uint8_t body[SPLICE_MSG_MAX];
    struct wr w = wr_init(body, sizeof(body));
    assert(m->type != SPLICE_OTHER);
    pb_wr_uint(&w, FIELD_TYPE, m->type);
    if (m->has_peer)
        pb_wr_bytes(&w, FIELD_PEER, peer_id_bytes(&m->peer));
    if (m->has_token)
        pb_wr_bytes(&w, FIELD_TOKEN, bytes_of(m->token, SPLICE_TOKEN_BYTES));
    if (m->has_status)
        pb_wr_uint(&w, FIELD_STATUS, m->status);
    assert(wr_done(&w) > 0);
    struct wr out = wr_init(ret_out, SPLICE_OUT_MAX);
    wr_uvarint_bytes(&out, wr_written(&w));
    ssize_t len = wr_done(&out);
    assert(len > 0);
    return (size_t)len;
}

void splice_preface(const uint8_t token[SPLICE_TOKEN_BYTES],
                    uint8_t ret_preface[SPLICE_PREFACE_BYTES]) {
    memcpy(ret_preface, splice_magic, SPLICE_MAGIC_BYTES);
    memcpy(ret_preface + SPLICE_MAGIC_BYTES, token, SPLICE_TOKEN_BYTES);
}
