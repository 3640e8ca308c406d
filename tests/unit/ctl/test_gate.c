/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/authkeys.h"
#include "ctl/gate.h"
#include "tests/unit/ctl/folder.h"

static const char A[] = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB";
static const char B[] = "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa";

static bool denies(struct gate_table *t, const char *peer, walltime_t now) {
    struct peer_id id;
    cr_assert_eq(peer_id_parse(peer, &id), 0);
    struct gate *g = gate_table_gate(t);
    return g->denies(g, &id, now);
}

static struct gate_table *gate_of(const struct folder *f, const char *text) {
    struct gate_table *t;
    struct problem why = PROBLEM_INIT;
    folder_write(f, "authorized_keys", text);
    cr_assert_eq(gate_table_new(mem_system(), folder_file(f, "authorized_keys"), NULL, &t, &why), 0,
                 "%s", why.text);
    return t;
}

Test(gate, only_listed_peers_pass) {
    struct folder f;
    folder_make(&f);
    struct gate_table *t =
        gate_of(&f, "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB  # home\n");
    cr_assert_not(denies(t, A, 0));
    cr_assert(denies(t, B, 0));
    cr_assert_eq(gate_table_count(t), 1);
    cr_assert_eq(gate_table_next_expiry(t, 0), AUTHKEY_NO_EXPIRY);
    t = gate_table_free(t);
    folder_remove(&f);
}

/* 2027-01-02T03:04:05Z is 1798859045. */
Test(gate, an_entry_counts_until_the_second_it_expires) {
    struct folder f;
    folder_make(&f);
    struct gate_table *t = gate_of(&f, "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB "
                                       "expires=2027-01-02T03:04:05Z\n");
    cr_assert_not(denies(t, A, 1798859044));
    cr_assert(denies(t, A, 1798859045));
    cr_assert_eq(gate_table_next_expiry(t, 1798859044), 1798859045);
    cr_assert_eq(gate_table_next_expiry(t, 1798859045), AUTHKEY_NO_EXPIRY);
    t = gate_table_free(t);
    folder_remove(&f);
}

Test(gate, a_reload_replaces_the_list_and_a_bad_one_leaves_it) {
    struct folder f;
    struct problem why = PROBLEM_INIT;
    folder_make(&f);
    struct gate_table *t = gate_of(&f, "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB\n");
    folder_write(&f, "authorized_keys", "nonsense\n");
    cr_assert(gate_table_is_stale(t));
    cr_assert_eq(gate_table_reload(t, &why), -ERR_MALFORMED);
    cr_assert_not(denies(t, A, 0));
    cr_assert(gate_table_is_stale(t));

    folder_write(&f, "authorized_keys", "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa\n");
    cr_assert_eq(gate_table_reload(t, &why), 0, "%s", why.text);
    cr_assert_not(gate_table_is_stale(t));
    cr_assert(denies(t, A, 0));
    cr_assert_not(denies(t, B, 0));
    t = gate_table_free(t);
    folder_remove(&f);
}

Test(gate, a_missing_list_is_an_error) {
    struct gate_table *t = NULL;
    struct problem why = PROBLEM_INIT;
    cr_assert_eq(gate_table_new(mem_system(), "/nowhere/authorized_keys", NULL, &t, &why), -ENOENT);
    cr_assert_null(t);
    cr_assert_neq(why.text[0], '\0');
}
