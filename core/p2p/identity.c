/* SPDX-License-Identifier: MIT */
#include "core/p2p/identity.h"

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/rng.h"
#include "core/p2p/pb.h"

enum {
    FIELD_TYPE = 1,
    FIELD_DATA = 2,
    DATA_BYTES = ED25519_SEED_BYTES + ED25519_PUBLIC_BYTES,
    DATA_BYTES_LEGACY = DATA_BYTES + ED25519_PUBLIC_BYTES,
    /* Room for an RSA key of 8,192 bits, to say that it is one. */
    KEY_FILE_BYTES_MAX = 8192,
    KEY_FILE_MODE = 0600,
    KEY_FILE_MODES_REFUSED = 0077,
};

#define KEY_FILE "key file"

int identity_from_seed(const uint8_t seed[ED25519_SEED_BYTES], struct identity *ret_identity) {
    uint8_t public_bytes[ED25519_PUBLIC_BYTES];
    int e = ed25519_public(seed, public_bytes);
    if (e < 0)
        return e;
    memcpy(ret_identity->seed, seed, ED25519_SEED_BYTES);
    memcpy(ret_identity->public_bytes, public_bytes, sizeof(public_bytes));
    struct public_key key;
    identity_public_key(ret_identity, &key);
    peer_id_from_key(&key, &ret_identity->id);
    return 0;
}

int identity_generate(struct rng *rng, struct identity *ret_identity) {
    uint8_t seed[ED25519_SEED_BYTES];
    rng_fill(rng, seed, sizeof(seed));
    int e = identity_from_seed(seed, ret_identity);
    mem_wipe(seed, sizeof(seed));
    return e;
}

/* seed, public, and in the legacy form public again: all copies must agree with the seed. */
static int from_data(struct bytes data, struct identity *ret_identity) {
    if (data.len != DATA_BYTES && data.len != DATA_BYTES_LEGACY)
        return -ERR_BAD_KEY;
    SCOPED(identity_done) struct identity i;
    int e = identity_from_seed(data.data, &i);
    if (e < 0)
        return e;
    for (size_t at = ED25519_SEED_BYTES; at < data.len; at += ED25519_PUBLIC_BYTES) {
        if (memcmp(data.data + at, i.public_bytes, ED25519_PUBLIC_BYTES) != 0)
            return -ERR_BAD_KEY;
    }
    *ret_identity = i;
    return 0;
}

int identity_decode(struct bytes protobuf, struct identity *ret_identity) {
    struct rd r = rd_init(protobuf);
    struct pb_field f;
    struct bytes data = BYTES_EMPTY;
    uint64_t type = UINT64_MAX;
    while (pb_next(&r, &f)) {
        if (pb_is_uint(&f, FIELD_TYPE))
            type = f.uint;
        else if (pb_is_bytes(&f, FIELD_DATA))
            data = f.bytes;
    }
    if (rd_done(&r) < 0 || type > KEY_ECDSA)
        return -ERR_BAD_KEY;
    if (type != KEY_ED25519)
        return -ERR_UNSUPPORTED;
    return from_data(data, ret_identity);
}

void identity_encode(const struct identity *i, uint8_t ret_protobuf[PRIVATE_KEY_BYTES]) {
    struct wr w = wr_init(ret_protobuf, PRIVATE_KEY_BYTES);
    pb_wr_uint(&w, FIELD_TYPE, KEY_ED25519);
    pb_wr_head(&w, FIELD_DATA, DATA_BYTES);
    wr_bytes(&w, BYTES_OF(i->seed));
    wr_bytes(&w, BYTES_OF(i->public_bytes));
    ssize_t len = wr_done(&w);
    assert(len == PRIVATE_KEY_BYTES);
}

int identity_load(const char *path, struct identity *ret_identity, struct problem *problem) {
    uint8_t content[KEY_FILE_BYTES_MAX];
    ssize_t len =
        file_read(path, KEY_FILE, KEY_FILE_MODES_REFUSED, content, sizeof(content), problem);
    if (len < 0)
        return (int)len;
    int e = identity_decode(bytes_of(content, (size_t)len), ret_identity);
    mem_wipe(content, sizeof(content));
    if (e == -ERR_UNSUPPORTED)
        return problem_set(problem, e, KEY_FILE " %s: only Ed25519 keys can be used", path);
    if (e < 0)
        return problem_set(problem, e, KEY_FILE " %s: %s", path, err_text(e));
    return 0;
}

int identity_save(const struct identity *i, const char *path, struct problem *problem) {
    uint8_t content[PRIVATE_KEY_BYTES];
    identity_encode(i, content);
    int e = file_write(path, BYTES_OF(content), KEY_FILE_MODE, FILE_NEW_ONLY, problem);
    mem_wipe(content, sizeof(content));
    return e;
}

int identity_load_or_create(const char *path, struct rng *rng, struct identity *ret_identity,
                            bool *ret_created, struct problem *problem) {
    bool created = false;
    int e = identity_load(path, ret_identity, problem);
    if (e == -ENOENT) {
        SCOPED(identity_done) struct identity fresh;
        e = identity_generate(rng, &fresh);
        if (e < 0)
            return e;
        e = identity_save(&fresh, path, problem);
        created = e == 0;
        if (created)
            *ret_identity = fresh;
        else if (e == -EEXIST) /* another process was faster: its key is the one */
            e = identity_load(path, ret_identity, problem);
    }
    if (e == 0 && ret_created != NULL)
        *ret_created = created;
    return e;
}

int identity_sign(const struct identity *i, struct bytes message,
                  uint8_t ret_signature[ED25519_SIGNATURE_BYTES]) {
    return ed25519_sign(i->seed, i->public_bytes, message, ret_signature);
}

void identity_public_key(const struct identity *i, struct public_key *ret_key) {
    public_key_from_ed25519(i->public_bytes, ret_key);
}

void identity_done(struct identity *i) {
    mem_wipe(i, sizeof(*i));
}
