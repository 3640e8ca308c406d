/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/problem.h"
#include "core/p2p/identity.h"
#include "tests/support/fixed_rng.h"
#include "tests/support/hex.h"

#define SEED_A   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PUBLIC_A "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
#define FILE_A   "08011240" SEED_A PUBLIC_A

static char directory[] = "/tmp/peerup-identity-XXXXXX";
static char path[64];

static void setup(void) {
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/identity.key", directory);
}

static void teardown(void) {
    (void)unlink(path);
    cr_assert_eq(rmdir(directory), 0, "something stayed behind");
}

TestSuite(identity, .init = setup, .fini = teardown);

static void write_key(struct bytes content, mode_t mode) {
    cr_assert_eq(file_write(path, content, mode, FILE_REPLACE, NULL), 0);
}

Test(identity, a_key_file_is_created_once_and_loaded_ever_after) {
    struct fixed_rng rng;
    struct identity first;
    struct identity second;
    struct stat st;
    bool created = false;
    fixed_rng_init(&rng, 1);
    cr_assert_eq(identity_load_or_create(path, &rng.rng, &first, &created, NULL), 0);
    cr_assert(created);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(st.st_size, PRIVATE_KEY_BYTES);
    cr_assert_eq(identity_load_or_create(path, &rng.rng, &second, &created, NULL), 0);
    cr_assert_not(created);
    cr_assert(peer_id_equal(&first.id, &second.id));
    cr_assert_eq(identity_load_or_create(path, &rng.rng, &second, NULL, NULL), 0);
}

Test(identity, the_file_is_gos_byte_for_byte) {
    uint8_t memory[128];
    uint8_t out[128];
    struct identity i;
    char text[PEER_ID_TEXT_MAX];
    cr_assert_eq(identity_from_seed(HEX(SEED_A).data, &i), 0);
    cr_assert_str_eq(peer_id_format(&i.id, text),
                     "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB");
    cr_assert_eq(identity_save(&i, path, NULL), 0);
    ssize_t len = file_read(path, "file", 0, out, sizeof(out), NULL);
    cr_assert_eq(len, PRIVATE_KEY_BYTES);
    cr_assert(bytes_equal(bytes_of(out, (size_t)len), hex_into(FILE_A, memory, sizeof(memory))));
}

Test(identity, an_existing_key_is_never_overwritten) {
    struct identity i;
    struct identity loaded;
    struct problem p = PROBLEM_INIT;
    uint8_t memory[128];
    write_key(hex_into(FILE_A, memory, sizeof(memory)), 0600);
    uint8_t other[ED25519_SEED_BYTES] = {1};
    cr_assert_eq(identity_from_seed(other, &i), 0);
    cr_assert_eq(identity_save(&i, path, &p), -EEXIST);
    cr_assert_eq(identity_load(path, &loaded, &p), 0);
    cr_assert_not(peer_id_equal(&i.id, &loaded.id));
}

Test(identity, a_key_that_others_may_touch_is_refused) {
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666};
    uint8_t memory[128];
    struct bytes content = hex_into(FILE_A, memory, sizeof(memory));
    struct identity i;
    for (size_t k = 0; k < ARRAY_COUNT(modes); k++) {
        struct problem p = PROBLEM_INIT;
        char expected[PROBLEM_TEXT_MAX];
        write_key(content, modes[k]);
        cr_assert_eq(identity_load(path, &i, &p), -ERR_FILE_MODE, "%o", modes[k]);
        (void)snprintf(expected, sizeof(expected),
                       "key file %s has overly permissive mode %04o; expected 0600 - fix with: "
                       "chmod 600 %s",
                       path, modes[k], path);
        cr_assert_str_eq(p.text, expected);
    }
    write_key(content, 0400);
    cr_assert_eq(identity_load(path, &i, NULL), 0);
}

Test(identity, each_bad_file_has_its_error_and_names_the_file) {
    static const struct {
        const char *name;
        const char *hex;
        int error;
    } rows[] = {
        {"empty", "", -ERR_BAD_KEY},
        {"text", "2d2d2d2d2d424547494e", -ERR_BAD_KEY},
        {"cut", "08011240" SEED_A, -ERR_BAD_KEY},
        {"seed only", "08011220" SEED_A, -ERR_BAD_KEY},
        {"a byte too many", FILE_A "00", -ERR_BAD_KEY},
        {"another public half", "08011240" SEED_A SEED_A, -ERR_BAD_KEY},
        {"legacy with another copy", "08011260" SEED_A PUBLIC_A SEED_A, -ERR_BAD_KEY},
        {"no type", "1240" SEED_A PUBLIC_A, -ERR_BAD_KEY},
        {"unknown type", "08041240" SEED_A PUBLIC_A, -ERR_BAD_KEY},
        {"secp256k1", "08021220" SEED_A, -ERR_UNSUPPORTED},
        {"RSA",
         "08001201"
         "30",
         -ERR_UNSUPPORTED},
    };
    for (size_t k = 0; k < ARRAY_COUNT(rows); k++) {
        uint8_t memory[256];
        struct problem p = PROBLEM_INIT;
        struct identity i;
        write_key(hex_into(rows[k].hex, memory, sizeof(memory)), 0600);
        int e = identity_load(path, &i, &p);
        cr_assert_eq(e, rows[k].error, "%s: %s", rows[k].name, err_name(e));
        cr_assert_not_null(strstr(p.text, path), "%s: %s", rows[k].name, p.text);
    }
}

Test(identity, a_missing_file_and_a_huge_one_are_told_apart) {
    static const uint8_t huge[10000];
    struct problem p = PROBLEM_INIT;
    struct identity i;
    cr_assert_eq(identity_load(path, &i, &p), -ENOENT);
    write_key(BYTES_OF(huge), 0600);
    cr_assert_eq(identity_load(path, &i, &p), -ERR_LIMIT);
}

Test(identity, without_a_place_to_save_there_is_no_identity) {
    struct fixed_rng rng;
    struct problem p = PROBLEM_INIT;
    struct identity i = {.id = PEER_ID_NONE};
    fixed_rng_init(&rng, 1);
    cr_assert_eq(identity_load_or_create("/nonexistent/key", &rng.rng, &i, NULL, &p), -ENOENT);
    cr_assert(peer_id_is_none(&i.id));
    cr_assert_not_null(strstr(p.text, "cannot write /nonexistent/key"));
}

Test(identity, done_leaves_no_secret) {
    static const struct identity zero;
    struct identity i;
    cr_assert_eq(identity_from_seed(HEX(SEED_A).data, &i), 0);
    identity_done(&i);
    cr_assert_eq(memcmp(&i, &zero, sizeof(i)), 0);
}
