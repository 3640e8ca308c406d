/* SPDX-License-Identifier: MIT */
#include "core/p2p/key.h"

#include "core/base/err.h"
#include "core/p2p/pb.h"

enum { FIELD_TYPE = 1, FIELD_DATA = 2 };

/* The canonical message, which both fields fit into by the caller's checks or not at all. */
static int encode(enum key_type type, struct bytes data, struct public_key *ret_key) {
    struct public_key k = {.type = (uint8_t)type};
    struct wr w = wr_init(k.bytes, sizeof(k.bytes));
    pb_wr_uint(&w, FIELD_TYPE, type);
    pb_wr_bytes(&w, FIELD_DATA, data);
    ssize_t len = wr_done(&w);
    if (len < 0)
        return -ERR_BAD_KEY;
    k.len = (uint16_t)len;
    k.data_offset = (uint16_t)((size_t)len - data.len);
    *ret_key = k;
    return 0;
}

/* Checks the material of a type and gives it in the one form that is kept: `compressed` serves
 * where that is not the input itself. */
static int check_data(enum key_type type, struct bytes *data,
                      uint8_t compressed[SECP256K1_POINT_BYTES]) {
    int e;
    switch (type) {
    case KEY_RSA:
        return rsa_check_key(*data);
    case KEY_ED25519:
        return data->len == ED25519_PUBLIC_BYTES ? 0 : -ERR_BAD_KEY;
    case KEY_SECP256K1:
        e = secp256k1_compress(*data, compressed);
        if (e == 0)
            *data = bytes_of(compressed, SECP256K1_POINT_BYTES);
        return e;
    case KEY_ECDSA:
        return ecdsa_check_key(*data);
    }
    return -ERR_BAD_KEY;
}

int public_key_decode(struct bytes protobuf, struct public_key *ret_key) {
    struct rd r = rd_init(protobuf);
    struct pb_field f;
    struct bytes data = BYTES_EMPTY;
    uint64_t type = 0;
    bool has_type = false;
    bool has_data = false;
    while (pb_next(&r, &f)) {
        if (pb_is_uint(&f, FIELD_TYPE)) {
            type = f.uint;
            has_type = true;
        } else if (pb_is_bytes(&f, FIELD_DATA)) {
            data = f.bytes;
            has_data = true;
        }
    }
    if (rd_done(&r) < 0 || !has_type || !has_data || type > KEY_ECDSA)
        return -ERR_BAD_KEY;
    uint8_t compressed[SECP256K1_POINT_BYTES];
    int e = check_data((enum key_type)type, &data, compressed);
    if (e < 0)
        return e;
    return encode((enum key_type)type, data, ret_key);
}

void public_key_from_ed25519(const uint8_t point[ED25519_PUBLIC_BYTES],
                             struct public_key *ret_key) {
    int e = encode(KEY_ED25519, bytes_of(point, ED25519_PUBLIC_BYTES), ret_key);
    assert(e == 0);
}

bool public_key_equal(const struct public_key *a, const struct public_key *b) {
    return bytes_equal(public_key_protobuf(a), public_key_protobuf(b));
}

int key_verify(const struct public_key *k, struct bytes message, struct bytes signature) {
    int e = -ERR_BAD_KEY;
    switch ((enum key_type)k->type) {
    case KEY_RSA:
        e = rsa_verify(public_key_data(k), message, signature);
        break;
    case KEY_ED25519:
        e = ed25519_verify(public_key_data(k), message, signature);
        break;
    case KEY_SECP256K1:
        e = secp256k1_verify(public_key_data(k), message, signature);
        break;
    case KEY_ECDSA:
        e = ecdsa_verify(public_key_data(k), message, signature);
        break;
    }
    /* The key was checked when it was decoded. */
    assert(e != -ERR_BAD_KEY);
    return e;
}
