/* SPDX-License-Identifier: MIT */
/* UPnP, script: a gateway that says anything at any time.  Oracles: only the gateway is asked, each
 * request is whole and has nothing of the gateway's in it that could end a line, at most one is
 * under way, an event has an address or an error, a deadline lies ahead once all due was done, and
 * nothing is left to do after closing. */
#include "core/base/rng.h"
#include "relay/proto/upnp.h"
#include "tests/fuzz/fuzz.h"

enum {
    OP_SEARCH_ANSWER,
    OP_ANSWER,
    OP_LONG_ANSWER,
    OP_FAIL,
    OP_TICK,
    OP_AGAIN,
    OP_CLOSE,
    OP_COUNT
};

static const struct net_addr gateway = {.ip = {10, 0, 0, 1}, .family = NET_IP4};
static const struct net_addr client = {.ip = {10, 0, 0, 2}, .family = NET_IP4};

struct session {
    struct upnp u;
    bool is_asked;
    bool is_closed;
    nsec_t now;
};

static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}

/* A head of lines that end, and a body as long as it says. */
static void check_request(const char *text, size_t len) {
    const char *body = memmem(text, len, "\r\n\r\n", 4);
    assert(body != NULL);
    unsigned lines = 0;
    for (const char *p = text; p < body; p++) {
        assert(*p != '\n' || p[-1] == '\r');
        lines += *p == '\n';
    }
    bool is_get = strncmp(text, "GET /", 5) == 0;
    assert(is_get || strncmp(text, "POST /", 6) == 0);
    assert(lines == (is_get ? 2u : 5u));
    assert(!is_get || body + 4 == text + len);
}

static void ask(struct session *s) {
    char out[UPNP_REQUEST_BYTES_MAX];
    struct net_addr to;
    size_t len, searches = 0;
    while (upnp_next_search(&s->u, s->now))
        assert(++searches == 1);
    if (!upnp_next_request(&s->u, &to, out, &len, s->now))
        return;
    assert(!s->is_asked);
    s->is_asked = true;
    assert(net_addr_ip_equal(&to, &gateway));
    assert(to.port != 0);
    check_request(out, len);
}

static void drain(struct session *s) {
    struct upnp_event ev;
    size_t count = 0;
    while (upnp_next_event(&s->u, &ev)) {
        assert(!s->is_closed);
        assert(++count <= s->u.mappings_count);
        assert((ev.error == 0) == (ev.external.family == NET_IP4));
        assert((ev.error == 0) == (ev.external.port != 0));
    }
}

/* The owner has heard something, of the network or of another way. */
static void turn_to(struct upnp *u, uint8_t n, nsec_t now) {
    size_t mapping = n >> 2 & 1;
    if (n % 4 == 0)
        upnp_ask_again(u, now);
    else if (n % 4 == 1)
        upnp_yield(u, mapping, 4001, now);
    else if (n % 4 == 2)
        upnp_yield(u, mapping, 4009, now);
    else
        upnp_resume(u, mapping, now);
}

/* Cut anywhere it is the same. */
static void answer(struct session *s, struct bytes in) {
    unsigned status = 0, status_in_part = 0;
    struct bytes body, part;
    uint8_t *whole = fuzz_copy(in), *cut = fuzz_copy(in);
    size_t len = in.len / 2;
    int e_in_part = upnp_parse_http(cut, len, false, &status_in_part, &part);
    int e = upnp_parse_http(whole, in.len, true, &status, &body);
    assert(e != -EAGAIN);
    if (e_in_part == 0) {
        assert(e == 0);
        assert(status == status_in_part);
        assert(bytes_equal(body, part));
    }
    if (e == 0 && s->is_asked)
        upnp_answered(&s->u, status, body, s->now);
    else if (s->is_asked)
        upnp_failed(&s->u, s->now);
    s->is_asked = false;
    free(whole);
    free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct rng rng = {.fill = count_up};
    struct session s = {.now = 0};
    upnp_init(&s.u, &gateway, &client, &rng, s.now);
    (void)upnp_add(&s.u, false, 4001, s.now);
    (void)upnp_add(&s.u, true, 4001, s.now);
    while (script.len > 0) {
        uint8_t op = fuzz_u8(&script);
        uint8_t n = fuzz_u8(&script);
        struct bytes in;
        switch (op % OP_COUNT) {
        case OP_SEARCH_ANSWER: {
            in = fuzz_take(&script, n);
            uint8_t *datagram = fuzz_copy(in);
            upnp_recv_search(&s.u, bytes_of(datagram, in.len), s.now);
            free(datagram);
            break;
        }
        case OP_ANSWER:
            answer(&s, fuzz_take(&script, n));
            break;
        case OP_LONG_ANSWER:
            answer(&s, fuzz_take(&script, (size_t)n * 16));
            break;
        case OP_FAIL:
            if (s.is_asked)
                upnp_failed(&s.u, s.now);
            s.is_asked = false;
            break;
        case OP_TICK:
            s.now += MSEC(n) * n * 20; /* up to 1,300 s */
            upnp_tick(&s.u, s.now);
            break;
        case OP_AGAIN:
            if (!s.is_closed)
                turn_to(&s.u, n, s.now);
            break;
        default:
            upnp_close(&s.u, s.now);
            s.is_closed = true;
            break;
        }
        ask(&s);
        drain(&s);
        upnp_tick(&s.u, s.now);
        ask(&s);
        assert(upnp_deadline(&s.u) > s.now);
        drain(&s);
    }
    upnp_close(&s.u, s.now);
    s.is_closed = true;
    for (size_t i = 0; i < 4 && (ask(&s), s.is_asked); i++) {
        upnp_answered(&s.u, 200, BYTES_EMPTY, s.now);
        s.is_asked = false;
    }
    ask(&s);
    assert(!s.is_asked);
    return 0;
}
