/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

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

struct heard {
    char text[256];
};

static void on_decided(void *user, const struct peer_id *peer, bool inbound, bool allowed) {
    struct heard *h = user;
    char id[PEER_ID_TEXT_MAX];
    (void)snprintf(h->text + strlen(h->text), sizeof(h->text) - strlen(h->text), "%s%s %s;",
                   inbound ? "in" : "out", allowed ? "+" : "-",
                   strcmp(peer_id_format(peer, id), A) == 0 ? "A" : "B");
}

static void on_list_changed(void *user, const struct peer_id *peer, bool is_added) {
    struct heard *h = user;
    char id[PEER_ID_TEXT_MAX];
    (void)snprintf(h->text + strlen(h->text), sizeof(h->text) - strlen(h->text), "%s%s;",
                   is_added ? "+" : "-", strcmp(peer_id_format(peer, id), A) == 0 ? "A" : "B");
}

Test(gate, decisions_and_changes_of_the_list_are_told) {
    struct folder f;
    struct heard h = {""};
    struct peer_id id;
    folder_make(&f);
    struct gate_table *t = gate_of(&f, "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB\n");
    struct gate *g = gate_table_gate(t);
    cr_assert_eq(peer_id_parse(B, &id), 0);
    g->decided(g, &id, true, true); /* nobody listens yet */
    gate_table_set_watcher(
        t, &(struct gate_watcher){.decided = on_decided, .changed = on_list_changed, .user = &h});
    g->decided(g, &id, true, false);
    folder_write(&f, "authorized_keys",
                 "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa # once\n"
                 "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa # twice\n");
    cr_assert_eq(gate_table_reload(t, NULL), 0);
    folder_write(&f, "authorized_keys",
                 "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa # the same\n");
    cr_assert_eq(gate_table_reload(t, NULL), 0);
    cr_assert_str_eq(h.text, "in- B;-A;+B;");
    t = gate_table_free(t);
    folder_remove(&f);
}
