/* SPDX-License-Identifier: MIT */

/* Goal: mappings come, stay and go as long as the gateway does as it says, and it is left alone
 * when it does not. Spec: relay/proto/upnp.h; WANIPConnection:1, AddPortMapping. */

#include <stdio.h>

#include "core/base/err.h"
#include "relay/proto/upnp.h"
#include "tests/support/fixed_rng.h"
#include "tests/unit/relay_nat/addrs.h"

#define PLACE "HTTP/1.1 200 OK\r\nLocation: http://10.0.0.1:5000/desc.xml\r\n\r\n"
#define DESCRIPTION                                                                      \
    "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>" \
    "<controlURL>/ctl</controlURL></service>"
#define ADDRESS "<NewExternalIPAddress>8.8.8.8</NewExternalIPAddress>"

struct bed {
    struct fixed_rng rng;
    struct upnp u;
    nsec_t now;
    char out[UPNP_REQUEST_BYTES_MAX];
};

/* UDP 4001 and TCP 4002. */
static void init(struct bed *b) {
    struct net_addr gateway = naddr("10.0.0.1"), client = naddr("10.0.0.2");
    b->now = SEC(1);
    fixed_rng_init(&b->rng, 3);
    upnp_init(&b->u, &gateway, &client, &b->rng.rng, b->now);
    cr_assert_eq(upnp_add(&b->u, false, 4001, b->now), 0);
    cr_assert_eq(upnp_add(&b->u, true, 4002, b->now), 1);
}

static void expect_no_request(struct bed *b) {
    struct net_addr to;
    size_t len;
    cr_assert_not(upnp_next_request(&b->u, &to, b->out, &len, b->now));
}

/* The next request has this in it. */
static void expect_request(struct bed *b, const char *text) {
    struct net_addr to, wanted = naddr("10.0.0.1:5000");
    size_t len;
    cr_assert(upnp_next_request(&b->u, &to, b->out, &len, b->now), "no %s", text);
    cr_assert(net_addr_equal(&to, &wanted));
    cr_assert_not_null(strstr(b->out, text), "%s is not in:\n%s", text, b->out);
    expect_no_request(b);
    cr_assert_eq(upnp_deadline(&b->u), NSEC_NEVER, "the answer is awaited");
}

static void answer(struct bed *b, unsigned status, const char *body) {
    upnp_answered(&b->u, status, bytes_of_str(body), b->now);
}

static void fault(struct bed *b, unsigned code) {
    char body[64];
    (void)snprintf(body, sizeof(body), "<errorCode>%u</errorCode>", code);
    answer(b, 500, body);
}

static void expect_event(struct bed *b, size_t mapping, int error, const char *external) {
    struct upnp_event ev;
    cr_assert(upnp_next_event(&b->u, &ev), "no event");
    cr_assert_eq(ev.mapping, mapping);
    cr_assert_eq(ev.error, error, "%s", err_name(ev.error));
    if (error < 0)
        return;
    struct net_addr wanted = naddr(external);
    cr_assert(net_addr_equal(&ev.external, &wanted));
}

static void expect_no_event(struct bed *b) {
    struct upnp_event ev;
    cr_assert_not(upnp_next_event(&b->u, &ev));
}

static void find(struct bed *b) {
    cr_assert(upnp_next_search(&b->u, b->now));
    upnp_recv_search(&b->u, BYTES_LIT(PLACE), b->now);
    expect_request(b, "GET /desc.xml HTTP/1.1\r\n");
    answer(b, 200, DESCRIPTION);
    expect_request(b, "#GetExternalIPAddress\"");
    answer(b, 200, ADDRESS);
}

static void init_mapped(struct bed *b) {
    init(b);
    find(b);
    expect_request(b, "<NewExternalPort>4001</NewExternalPort><NewProtocol>UDP<");
    answer(b, 200, "");
    expect_event(b, 0, 0, "8.8.8.8:4001");
    expect_request(b, "<NewExternalPort>4002</NewExternalPort><NewProtocol>TCP<");
    answer(b, 200, "");
    expect_event(b, 1, 0, "8.8.8.8:4002");
    expect_no_request(b);
}

static void move_to(struct bed *b, nsec_t now) {
    b->now = now;
    upnp_tick(&b->u, now);
}

/* --- What goes well --------------------------------------------------------------------------- */

Test(upnp, ports_are_mapped_and_renewed_after_half_an_hour) {
    struct bed b;
    init_mapped(&b);
    move_to(&b, upnp_deadline(&b.u) - 1);
    expect_no_request(&b);
    move_to(&b, b.now + 1);
    cr_assert_geq(b.now, SEC(1801));
    expect_request(&b, "#GetExternalIPAddress\"");
    answer(&b, 200, ADDRESS);
    for (int i = 0; i < 2; i++) {
        move_to(&b, MAX(upnp_deadline(&b.u), b.now));
        cr_assert_lt(b.now, SEC(2300), "before the hour is over");
        expect_request(&b, "#AddPortMapping\"");
        answer(&b, 200, "");
    }
    expect_no_event(&b);
    cr_assert_not(upnp_next_search(&b.u, b.now));
}

Test(upnp, another_address_outside_is_told) {
    struct bed b;
    init_mapped(&b);
    move_to(&b, upnp_deadline(&b.u));
    expect_request(&b, "#GetExternalIPAddress\"");
    answer(&b, 200, "<NewExternalIPAddress>8.8.4.4</NewExternalIPAddress>");
    expect_event(&b, 0, 0, "8.8.4.4:4001");
    expect_event(&b, 1, 0, "8.8.4.4:4002");
    expect_no_event(&b);
}

Test(upnp, a_gateway_with_permanent_mappings_only_gets_such_calls) {
    struct bed b;
    init(&b);
    find(&b);
    expect_request(&b, "<NewLeaseDuration>3600<");
    fault(&b, UPNP_FAULT_ONLY_PERMANENT);
    expect_request(&b, "<NewLeaseDuration>0<");
    answer(&b, 200, "");
    expect_event(&b, 0, 0, "8.8.8.8:4001");
    expect_request(&b, "4002");
    fault(&b, UPNP_FAULT_ONLY_PERMANENT);
    expect_request(&b, "<NewLeaseDuration>0<");
    fault(&b, UPNP_FAULT_ONLY_PERMANENT); /* it makes no sense any more */
    expect_event(&b, 1, -EACCES, NULL);
    expect_no_request(&b);
}

Test(upnp, a_port_that_is_taken_is_asked_for_under_three_other_numbers) {
    struct bed b;
    init(&b);
    find(&b);
    expect_request(&b, "<NewExternalPort>4001<");
    for (int i = 1; i < UPNP_PORTS_TRIED_MAX; i++) {
        fault(&b, UPNP_FAULT_CONFLICT);
        expect_request(&b, "<NewInternalPort>4001<");
        cr_assert_null(strstr(b.out, "<NewExternalPort>4001<"));
    }
    fault(&b, UPNP_FAULT_CONFLICT);
    expect_event(&b, 0, -EACCES, NULL);
    expect_request(&b, "<NewExternalPort>4002<");
    fault(&b, UPNP_FAULT_CONFLICT);
    expect_request(&b, "<NewInternalPort>4002<");
    uint16_t port = b.u.mappings[1].external_port;
    cr_assert_geq(port, 1024);
    answer(&b, 200, "");
    char external[32];
    (void)snprintf(external, sizeof(external), "8.8.8.8:%u", port);
    expect_event(&b, 1, 0, external);
}

Test(upnp, mappings_are_removed_at_the_end) {
    struct bed b;
    init_mapped(&b);
    upnp_close(&b.u, b.now);
    cr_assert_eq(upnp_deadline(&b.u), NSEC_NEVER);
    expect_request(&b, "#DeletePortMapping\"");
    fault(&b, 714); /* not there: all the better */
    expect_request(&b, "<NewExternalPort>4002<");
    answer(&b, 200, "");
    expect_no_request(&b);
    expect_no_event(&b);
}

/* A call whose answer is still to come may have made one. */
Test(upnp, what_is_under_way_at_the_end_is_removed_too) {
    struct bed b;
    init(&b);
    find(&b);
    expect_request(&b, "#AddPortMapping\"");
    upnp_close(&b.u, b.now);
    expect_no_request(&b);
    answer(&b, 200, "");
    expect_request(&b, "#DeletePortMapping\"");
    answer(&b, 200, "");
    expect_no_request(&b);
    expect_no_event(&b);
}

Test(upnp, nothing_is_removed_of_a_gateway_that_is_left_or_does_not_answer) {
    struct bed b;
    init_mapped(&b);
    upnp_abandon(&b.u);
    expect_no_request(&b);
    init_mapped(&b);
    upnp_close(&b.u, b.now);
    expect_request(&b, "#DeletePortMapping\"");
    upnp_failed(&b.u, b.now);
    expect_no_request(&b);
}

Test(upnp, all_is_looked_for_again_when_the_owner_says_so) {
    struct bed b;
    init_mapped(&b);
    move_to(&b, SEC(100));
    upnp_ask_again(&b.u, b.now);
    find(&b);
    for (int i = 0; i < 2; i++) {
        expect_request(&b, "#AddPortMapping\"");
        answer(&b, 200, "");
    }
    expect_no_event(&b);
    /* Not while an answer is awaited, which tells as much. */
    move_to(&b, upnp_deadline(&b.u));
    expect_request(&b, "#GetExternalIPAddress\"");
    upnp_ask_again(&b.u, b.now);
    cr_assert_not(upnp_next_search(&b.u, b.now));
    answer(&b, 200, ADDRESS);
    expect_request(&b, "#AddPortMapping\"");
}

/* --- What does not ---------------------------------------------------------------------------- */

Test(upnp, a_silent_network_is_searched_three_times_and_again_after_ten_minutes) {
    struct bed b;
    init(&b);
    static const nsec_t at[] = {SEC(1), SEC(2), SEC(4)};
    for (size_t i = 0; i < ARRAY_COUNT(at); i++) {
        cr_assert_eq(MAX(upnp_deadline(&b.u), b.now), at[i]);
        move_to(&b, at[i]);
        cr_assert(upnp_next_search(&b.u, b.now));
        cr_assert_not(upnp_next_search(&b.u, b.now));
    }
    move_to(&b, SEC(7) - 1);
    expect_no_event(&b);
    move_to(&b, SEC(7));
    expect_event(&b, 0, -ETIMEDOUT, NULL);
    expect_event(&b, 1, -ETIMEDOUT, NULL);
    cr_assert_eq(upnp_deadline(&b.u), SEC(7) + UPNP_REST);
    cr_assert_not(upnp_next_search(&b.u, b.now));
    upnp_recv_search(&b.u, BYTES_LIT(PLACE), b.now); /* too late */
    expect_no_request(&b);
    move_to(&b, SEC(7) + UPNP_REST);
    cr_assert(upnp_next_search(&b.u, b.now));
    expect_no_event(&b);
}

Test(upnp, places_elsewhere_are_not_gone_to) {
    struct bed b;
    init(&b);
    upnp_recv_search(&b.u, BYTES_LIT(PLACE), b.now);
    expect_no_request(&b); /* nobody asked */
    cr_assert(upnp_next_search(&b.u, b.now));
    upnp_recv_search(&b.u, BYTES_LIT("HTTP/1.1 200 OK\r\nLocation: http://10.0.0.9:5000/x\r\n\r\n"),
                     b.now);
    upnp_recv_search(&b.u, BYTES_LIT("nonsense"), b.now);
    expect_no_request(&b);
    upnp_recv_search(&b.u, BYTES_LIT(PLACE), b.now);
    expect_request(&b, "GET /desc.xml ");
    answer(&b, 200,
           "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>"
           "<controlURL>http://10.0.0.9/ctl</controlURL></service>");
    expect_event(&b, 0, -EACCES, NULL);
    expect_event(&b, 1, -EACCES, NULL);
    expect_no_request(&b);
}

/* At each step; and it is all begun anew later. */
Test(upnp, answers_that_do_not_help_end_in_a_rest) {
    for (int i = 0; i < 6; i++) {
        struct bed b;
        init(&b);
        cr_assert(upnp_next_search(&b.u, b.now));
        upnp_recv_search(&b.u, BYTES_LIT(PLACE), b.now);
        expect_request(&b, "GET /desc.xml ");
        if (i == 0)
            answer(&b, 404, "");
        else if (i == 1)
            answer(&b, 200, "<root/>");
        else if (i == 2)
            upnp_failed(&b.u, b.now);
        else
            answer(&b, 200, DESCRIPTION);
        if (i > 2) {
            expect_request(&b, "#GetExternalIPAddress\"");
            if (i == 3)
                fault(&b, 501);
            else if (i == 4)
                answer(&b, 200, "<NewExternalIPAddress/>");
            else
                upnp_failed(&b.u, b.now);
        }
        int error = i == 2 || i == 5 ? -ETIMEDOUT : -EACCES;
        expect_event(&b, 0, error, NULL);
        expect_event(&b, 1, error, NULL);
        expect_no_request(&b);
        move_to(&b, b.now + UPNP_REST);
        find(&b);
        expect_request(&b, "#AddPortMapping\"");
    }
}

Test(upnp, a_mapping_that_is_refused_rests_alone) {
    struct bed b;
    init(&b);
    find(&b);
    expect_request(&b, "4001");
    fault(&b, 606);
    expect_event(&b, 0, -EACCES, NULL);
    expect_request(&b, "4002");
    answer(&b, 200, "");
    expect_event(&b, 1, 0, "8.8.8.8:4002");
    cr_assert_eq(upnp_deadline(&b.u), b.now + UPNP_REST);
    move_to(&b, upnp_deadline(&b.u));
    expect_request(&b, "4001");
    fault(&b, 606);
    expect_no_event(&b);
    expect_no_request(&b);
}

Test(upnp, a_gateway_that_is_gone_at_a_renewal_has_lost_the_mappings) {
    struct bed b;
    init_mapped(&b);
    move_to(&b, upnp_deadline(&b.u));
    expect_request(&b, "#GetExternalIPAddress\"");
    upnp_failed(&b.u, b.now);
    expect_event(&b, 0, -ETIMEDOUT, NULL);
    expect_event(&b, 1, -ETIMEDOUT, NULL);
    move_to(&b, b.now + UPNP_REST);
    find(&b);
    expect_request(&b, "<NewExternalPort>4001<");
    answer(&b, 200, "");
    expect_event(&b, 0, 0, "8.8.8.8:4001");
}

/* --- Ports that another way maps -------------------------------------------------------------- */

Test(upnp, without_a_mapping_that_is_wanted_the_gateway_is_left_alone) {
    struct bed b;
    init(&b);
    upnp_yield(&b.u, 0, 4001, b.now);
    upnp_yield(&b.u, 1, 4002, b.now);
    cr_assert_eq(upnp_deadline(&b.u), NSEC_NEVER);
    cr_assert_not(upnp_next_search(&b.u, b.now));
    move_to(&b, SEC(5000));
    cr_assert_not(upnp_next_search(&b.u, b.now));
    expect_no_event(&b);
    upnp_resume(&b.u, 1, b.now);
    upnp_resume(&b.u, 1, b.now);
    cr_assert_eq(MAX(upnp_deadline(&b.u), b.now), b.now);
    find(&b);
    expect_request(&b, "<NewExternalPort>4002<");
    answer(&b, 200, "");
    expect_event(&b, 1, 0, "8.8.8.8:4002");
    expect_no_request(&b);
}

/* It is found, and then not needed. */
Test(upnp, what_is_yielded_at_any_step_is_not_asked_for) {
    for (int i = 0; i < 3; i++) {
        struct bed b;
        init(&b);
        cr_assert(upnp_next_search(&b.u, b.now));
        upnp_recv_search(&b.u, BYTES_LIT(PLACE), b.now);
        if (i > 0) {
            expect_request(&b, "GET /desc.xml ");
            answer(&b, 200, DESCRIPTION);
        }
        if (i > 1)
            expect_request(&b, "#GetExternalIPAddress\"");
        upnp_yield(&b.u, 0, 4001, b.now);
        upnp_yield(&b.u, 1, 4002, b.now);
        if (i > 1)
            answer(&b, 200, ADDRESS);
        expect_no_request(&b);
        expect_no_event(&b);
        cr_assert_eq(upnp_deadline(&b.u), NSEC_NEVER);
    }
}

Test(upnp, under_the_same_number_it_is_left_until_the_end) {
    struct bed b;
    init_mapped(&b);
    upnp_yield(&b.u, 0, 4001, b.now);
    upnp_yield(&b.u, 1, 4002, b.now);
    expect_no_request(&b);
    cr_assert_eq(upnp_deadline(&b.u), NSEC_NEVER, "nothing is renewed");
    upnp_close(&b.u, b.now);
    expect_request(&b, "#DeletePortMapping\"");
    answer(&b, 200, "");
    expect_request(&b, "<NewExternalPort>4002<");
    answer(&b, 200, "");
    expect_no_request(&b);
}

Test(upnp, under_another_number_it_is_removed_at_once) {
    struct bed b;
    init_mapped(&b);
    upnp_yield(&b.u, 0, 4009, b.now);
    cr_assert_eq(upnp_deadline(&b.u), b.now);
    expect_request(&b, "#DeletePortMapping\"");
    cr_assert_not_null(strstr(b.out, "<NewExternalPort>4001<"));
    answer(&b, 200, "");
    expect_no_request(&b);
    expect_no_event(&b);
    upnp_close(&b.u, b.now);
    expect_request(&b, "<NewExternalPort>4002<");
    answer(&b, 200, "");
    expect_no_request(&b);
}

/* What is left has one number; the other way may change its own. */
Test(upnp, what_is_left_is_removed_when_the_other_way_has_another_number) {
    struct bed b;
    init_mapped(&b);
    upnp_yield(&b.u, 0, 4001, b.now);
    upnp_yield(&b.u, 0, 4009, b.now);
    expect_request(&b, "#DeletePortMapping\"");
}

Test(upnp, a_call_under_way_counts_as_mapped) {
    for (int i = 0; i < 2; i++) {
        struct bed b;
        init(&b);
        find(&b);
        expect_request(&b, "<NewExternalPort>4001<");
        upnp_yield(&b.u, 0, i == 0 ? 4001 : 4009, b.now);
        upnp_yield(&b.u, 1, 4002, b.now);
        if (i == 0)
            fault(&b, UPNP_FAULT_CONFLICT); /* no reason for another number */
        else
            answer(&b, 200, "");
        if (i == 1) {
            expect_request(&b, "#DeletePortMapping\"");
            answer(&b, 200, "");
        }
        expect_no_request(&b);
        expect_no_event(&b);
        cr_assert_eq(upnp_deadline(&b.u), NSEC_NEVER);
    }
}

Test(upnp, what_the_other_way_lost_is_mapped_again) {
    for (int i = 0; i < 3; i++) {
        struct bed b;
        init_mapped(&b);
        upnp_yield(&b.u, 0, i == 0 ? 4001 : 4009, b.now);
        if (i == 2)
            expect_request(&b, "#DeletePortMapping\"");
        upnp_resume(&b.u, 0, b.now);
        if (i == 2)
            answer(&b, 200, "");
        expect_request(&b, "#AddPortMapping\"");
        answer(&b, 200, "");
        expect_event(&b, 0, 0, "8.8.8.8:4001");
        expect_no_request(&b);
    }
}

Test(upnp, a_gateway_that_does_not_answer_a_removal_is_not_asked_again) {
    struct bed b;
    init_mapped(&b);
    upnp_yield(&b.u, 0, 4009, b.now);
    upnp_yield(&b.u, 1, 4008, b.now);
    expect_request(&b, "#DeletePortMapping\"");
    upnp_failed(&b.u, b.now);
    expect_no_request(&b);
    expect_no_event(&b);
    cr_assert_eq(upnp_deadline(&b.u), NSEC_NEVER);
}
