/* SPDX-License-Identifier: MIT */

/* libpeerup: opening, closing, and how a call reaches the library's thread.  The contract is in
 * include/peerup/peerup.h. */

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/version.h"
#include "core/p2p/identity.h"
#include "core/p2p/protocol_id.h"
#include "ctl/node.h"
#include "ctl/peerup_internal.h"
#include "ctl/sysenv.h"

#define SAME_AS(ours, theirs) \
    _Static_assert((int)(ours) == (int)(theirs), "the header's numbers are the error table's")
SAME_AS(PEERUP_E_BAD_PEER_ID, ERR_BAD_PEER_ID);
SAME_AS(PEERUP_E_BAD_ADDRESS, ERR_BAD_MULTIADDR);
SAME_AS(PEERUP_E_BAD_KEY, ERR_BAD_KEY);
SAME_AS(PEERUP_E_WRONG_PEER, ERR_PEER_ID_MISMATCH);
SAME_AS(PEERUP_E_NOT_OFFERED, ERR_PROTOCOL_NOT_SUPPORTED);
SAME_AS(PEERUP_E_LIMIT_OF_PEER, ERR_RESOURCE_LIMIT);
SAME_AS(PEERUP_E_NO_ADDRESS, ERR_NO_ADDRESSES);
SAME_AS(PEERUP_E_NAME_NOT_FOUND, ERR_NAME_NOT_FOUND);
SAME_AS(PEERUP_E_SERVICE_EXISTS, ERR_SERVICE_EXISTS);
SAME_AS(PEERUP_E_SERVICE_NOT_FOUND, ERR_SERVICE_NOT_FOUND);
SAME_AS(PEERUP_E_FILE_MODE, ERR_FILE_MODE);
SAME_AS(PEERUP_E_STREAM_RESET, ERR_STREAM_RESET);
SAME_AS(PEERUP_E_CONNECTION_CLOSED, ERR_CONN_CLOSED);
SAME_AS(PEERUP_E_REFUSED_BY_PEER, ERR_GATED);
SAME_AS(PEERUP_E_SHUTDOWN, ERR_SHUTDOWN);
SAME_AS(PEERUP_E_IN_USE, ERR_DAEMON_RUNNING);

enum { LISTEN_MAX = 32 };

const char *peerup_error_text(int error) {
    return err_text(error);
}

const char *peerup_version(void) {
    return version_release();
}

static bool has_own_thread(const struct peerup *p) {
    return (p->flags & PEERUP_CALLERS_LOOP) == 0;
}

/* --- Calls --- */

void call_finish(struct call *c, int result) {
    struct peerup *p = c->p;
    (void)pthread_mutex_lock(&p->lock);
    c->result = result;
    c->done = true;
    (void)pthread_cond_broadcast(&p->done);
    (void)pthread_mutex_unlock(&p->lock);
}

static void on_message(struct mailbox_msg *m) {
    struct call *c = CONTAINER_OF(m, struct call, msg);
    c->start(c);
}

static int call_post(struct peerup *p, struct call *c) {
    if (pthread_equal(pthread_self(), p->thread.handle))
        return -EDEADLK;
    c->msg.deliver = on_message;
    reactor_post(node_reactor(p->node), &c->msg);
    (void)pthread_mutex_lock(&p->lock);
    while (!c->done)
        (void)pthread_cond_wait(&p->done, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
    return c->result;
}

int call_run(struct peerup *p, struct call *c, void (*start)(struct call *c)) {
    c->p = p;
    c->start = start;
    c->done = false;
    if (has_own_thread(p))
        return call_post(p, c);
    start(c);
    while (!c->done) {
        int e = reactor_turn(node_reactor(p->node), NSEC_NEVER);
        if (e < 0)
            return e;
    }
    return c->result;
}

/* --- What options decide --- */

static bool denies(struct gate *g, const struct peer_id *peer, walltime_t now) {
    struct peerup *p = CONTAINER_OF(g, struct peerup, gate);
    char id[PEER_ID_TEXT_MAX];
    (void)now;

    if (p->allow == NULL)
        return !p->allow_everybody;
    return !p->allow(p->user, peer_id_format(peer, id));
}

static void sink(struct log *l, enum log_level level, const char *line, size_t len) {
    struct peerup *p = l->context;
    char text[LOG_LINE_MAX + 1];
    (void)level;
    assert(len < sizeof(text));
    memcpy(text, line, len);
    text[len] = '\0';
    p->write_log(p->user, text);
}

static int64_t wall_ms(struct log *l) {
    (void)l;
    return sysenv_wall_ms();
}

static int parse_listen(const struct peerup_options *o, struct multiaddr *out,
                        struct problem *problem) {
    if (o->listen_addresses_count > LISTEN_MAX)
        return problem_set(problem, -ERR_LIMIT, "more than %d listen addresses", LISTEN_MAX);
    for (size_t i = 0; i < o->listen_addresses_count; i++) {
        int e = multiaddr_parse(o->listen_addresses[i], &out[i]);
        if (e < 0)
            return problem_set(problem, e, "%s: %s", o->listen_addresses[i], err_text(e));
    }
    return 0;
}

/* On the library's thread: a node stays on the thread that opened it. */
static int open_node(struct peerup *p, const struct peerup_options *o) {
    struct multiaddr listen[LISTEN_MAX];
    int e = parse_listen(o, listen, &p->open_problem);
    if (e < 0)
        return e;
    struct node_config cfg = {
        .mem = p->mem,
        .log = p->write_log == NULL ? NULL : &p->log,
        .key_file = o->key_file,
        .agent = o->user_agent,
        .listen = listen,
        .listen_count = (uint32_t)o->listen_addresses_count,
        .authorized_keys_file = o->authorized_keys_file,
        .gate = &p->gate,
        .ping_protocol = p->ping_protocol[0] == '\0' ? NULL : p->ping_protocol,
        .punches = true,
        .splices = true,
        .is_exclusive = (o->flags & PEERUP_EXCLUSIVE) != 0,
    };
    e = node_open(&cfg, &p->node, &p->open_problem);
    if (e == 0)
        (void)peer_id_format(&node_identity(p->node)->id, p->id);
    return e;
}

/* --- Life --- */

static void close_node(struct peerup *p) {
    struct reactor *r = node_reactor(p->node);

    peerup_streams_abort(p);
    while (!list_is_empty(&p->streams))
        if (reactor_turn(r, NSEC_NEVER) < 0)
            break;
    p->node = node_free(p->node);
}

struct opening {
    struct peerup *p;
    const struct peerup_options *options;
};

/* `opening` is on the stack of peerup_open(), which waits for the answer. */
static void thread_main(void *context) {
    struct opening *opening = context;
    struct peerup *p = opening->p;

    int e = open_node(p, opening->options);
    (void)pthread_mutex_lock(&p->lock);
    p->open_error = e;
    p->opened = true;
    (void)pthread_cond_broadcast(&p->done);
    (void)pthread_mutex_unlock(&p->lock);
    if (e < 0)
        return;
    e = node_run(p->node);
    if (e < 0)
        log_error(&p->log, L_NODE, "the event loop failed", kv_err(e));
    close_node(p);
}

static int open_on_thread(struct peerup *p, const struct peerup_options *o) {
    struct opening opening = {.p = p, .options = o};
    int e = thread_start(&p->thread, thread_main, &opening);
    if (e < 0)
        return problem_set(&p->open_problem, e, "cannot start a thread: %s", err_text(e));
    (void)pthread_mutex_lock(&p->lock);
    while (!p->opened)
        (void)pthread_cond_wait(&p->done, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
    if (p->open_error < 0)
        thread_join(&p->thread);
    return p->open_error;
}

static struct peerup *peerup_new(const struct peerup_options *o) {
    struct mem *mem = mem_system();
    struct peerup *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->mem = mem;
    p->gate = (struct gate){.denies = denies};
    p->log = (struct log){.sink = sink, .wall_ms = wall_ms, .context = p, .level_max = LOG_INFO};
    p->write_log = o->log;
    p->allow = o->allow;
    p->allow_everybody = o->allow_everybody;
    p->user = o->user;
    p->flags = o->flags;
    (void)snprintf(p->ping_protocol, sizeof(p->ping_protocol), "%s",
                   o->ping_protocol == NULL ? PROTOCOL_PINGPONG : o->ping_protocol);
    list_init(&p->streams);
    list_init(&p->names);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->done, NULL);
    return p;
}

static void peerup_free(struct peerup *p) {
    struct list *node;
    while ((node = list_shift(&p->names)) != NULL)
        (void)mem_free(p->mem, node); /* the link is a name's first member */
    (void)pthread_cond_destroy(&p->done);
    (void)pthread_mutex_destroy(&p->lock);
    (void)mem_free(p->mem, p);
}

static int copy_problem(int error, const char *text, char *problem, size_t problem_size) {
    if (problem_size > 0)
        (void)snprintf(problem, problem_size, "%s", text);
    return error;
}

int peerup_open(const struct peerup_options *options, struct peerup **ret_peerup, char *problem,
                size_t problem_size) {
    if (options->size != sizeof(*options) || options->key_file == NULL)
        return copy_problem(-EINVAL, "options without a size or a key file", problem, problem_size);
    struct peerup *p = peerup_new(options);
    if (p == NULL)
        return copy_problem(-ENOMEM, err_text(ENOMEM), problem, problem_size);
    int e = has_own_thread(p) ? open_on_thread(p, options) : open_node(p, options);
    if (e < 0) {
        (void)copy_problem(e, p->open_problem.text, problem, problem_size);
        peerup_free(p);
        return e;
    }
    *ret_peerup = p;
    return 0;
}

static void start_end(struct call *c) {
    node_stop(c->p->node);
    call_finish(c, 0);
}

void peerup_close(struct peerup *p) {
    if (p == NULL)
        return;
    if (has_own_thread(p)) {
        struct call c = {0};
        int e = call_run(p, &c, start_end);
        assert(e == 0); /* a callback may not close the library */
        thread_join(&p->thread);
    } else {
        close_node(p);
    }
    peerup_free(p);
}

const char *peerup_host_id(const struct peerup *p) {
    return p->id;
}

/* --- The caller's loop --- */

int peerup_poll_fd(const struct peerup *p) {
    return has_own_thread(p) ? -EINVAL : reactor_poll_fd(node_reactor(p->node));
}

int peerup_poll_timeout_ms(const struct peerup *p) {
    if (has_own_thread(p))
        return -1;
    struct reactor *r = node_reactor(p->node);
    nsec_t at = reactor_next_deadline(r);
    if (at == NSEC_NEVER)
        return -1;
    nsec_t now = reactor_now(r);
    /* Rounded up, else the last millisecond is spent turning in vain. */
    return at <= now ? 0 : (int)MIN((at - now + MSEC(1) - 1) / MSEC(1), (nsec_t)INT32_MAX);
}

int peerup_run(struct peerup *p) {
    return has_own_thread(p) ? -EINVAL : reactor_turn(node_reactor(p->node), 0);
}
