/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "core/crypto/wolf_env.h"
#include "support.h"

/* --- Timers --- */

struct mark {
    struct timer timer;
    nsec_t wanted;
    int *order;
    int *next;
    int id;
    int fired;
};

static void on_mark(struct timer *t) {
    struct mark *m = CONTAINER_OF(t, struct mark, timer);
    cr_assert(reactor_now(t->reactor) >= m->wanted, "a timer was early");
    m->fired++;
    if (m->order != NULL)
        m->order[(*m->next)++] = m->id;
}

/* Goal: earliest first, equal ones in the order of starting, none before its time. */
CASE(timers, fire_in_order_and_never_early) {
    enum { COUNT = 8 };
    static const int at_ms[COUNT] = {5, 1, 3, 3, 9, 0, 7, 3};
    static const int expected[COUNT] = {5, 1, 2, 3, 7, 0, 6, 4}; /* by at_ms, then index */
    struct mark marks[COUNT];
    int order[COUNT];
    int next = 0;
    nsec_t now = reactor_now(t->reactor);
    for (int i = 0; i < COUNT; i++) {
        marks[i] =
            (struct mark){.wanted = now + MSEC(at_ms[i]), .order = order, .next = &next, .id = i};
        cr_assert_eq(timer_init(&marks[i].timer, t->reactor, on_mark), 0);
        timer_start(&marks[i].timer, marks[i].wanted);
    }
    cr_assert_eq(next, 0);
    TURN_UNTIL(t, next == COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(order[i], expected[i], "place %d: %d", i, order[i]);
        cr_assert_eq(marks[i].fired, 1);
        timer_done(&marks[i].timer);
    }
}

static void on_again(struct timer *t) {
    struct mark *m = CONTAINER_OF(t, struct mark, timer);
    m->fired++;
    timer_start(t, reactor_now(t->reactor));
}

/* Goal: a timer that starts itself for now does not hold the turn. */
CASE(timers, started_again_inside_itself_fires_in_the_next_turn) {
    struct mark m = {0};
    cr_assert_eq(timer_init(&m.timer, t->reactor, on_again), 0);
    timer_start(&m.timer, 0);
    cr_assert_eq(reactor_turn(t->reactor, NSEC_NEVER), 0);
    cr_assert_eq(m.fired, 1);
    cr_assert_eq(reactor_turn(t->reactor, NSEC_NEVER), 0);
    cr_assert_eq(m.fired, 2);
    timer_done(&m.timer);
}

/* Goal: a stopped timer does not fire, a moved one fires once at its new time. */
CASE(timers, stop_and_move) {
    struct mark stopped = {.wanted = NSEC_NEVER};
    struct mark moved = {0};
    cr_assert_eq(timer_init(&stopped.timer, t->reactor, on_mark), 0);
    cr_assert_eq(timer_init(&moved.timer, t->reactor, on_mark), 0);
    nsec_t now = reactor_now(t->reactor);
    timer_start(&stopped.timer, now + USEC(100));
    timer_start(&moved.timer, now + USEC(100));
    moved.wanted = now + MSEC(4);
    timer_start(&moved.timer, moved.wanted);
    timer_stop(&stopped.timer);
    TURN_UNTIL(t, moved.fired == 1);
    timer_start(&moved.timer, reactor_now(t->reactor) + USEC(10));
    timer_start(&moved.timer, NSEC_NEVER);
    turn_while_ready(t);
    cr_assert_eq(moved.fired, 1);
    cr_assert_eq(stopped.fired, 0);
    timer_done(&stopped.timer);
    timer_done(&moved.timer);
}

/* --- Deferred calls --- */

struct note {
    struct deferred deferred;
    struct reactor *reactor;
    int runs;
    int again;
};

static void on_note(struct deferred *d) {
    struct note *n = CONTAINER_OF(d, struct note, deferred);
    n->runs++;
    if (n->again-- > 0)
        reactor_defer(n->reactor, d);
}

/* Goal: once a turn however often it was asked for; from inside itself in the next turn, which does
 * not wait. */
CASE(deferred, runs_once_a_turn_and_again_in_the_next) {
    struct note n = {.reactor = t->reactor, .again = 2};
    deferred_init(&n.deferred, on_note);
    reactor_defer(t->reactor, &n.deferred);
    reactor_defer(t->reactor, &n.deferred);
    cr_assert_eq(n.runs, 0);
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(reactor_turn(t->reactor, NSEC_NEVER), 0);
        cr_assert_eq(n.runs, i);
    }
    cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    cr_assert_eq(n.runs, 3);
    reactor_defer(t->reactor, &n.deferred);
    deferred_cancel(&n.deferred);
    deferred_cancel(&n.deferred);
    cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    cr_assert_eq(n.runs, 3);
}

/* --- Messages from another thread --- */

enum { POSTERS = 3, POSTS_EACH = 2000 };

struct letter {
    struct mailbox_msg msg;
    struct post_office *office;
    int poster;
    int number;
};

struct post_office {
    struct reactor *reactor;
    pthread_t reactor_thread;
    int last[POSTERS];
    int delivered;
};

struct poster {
    struct letter letters[POSTS_EACH];
    struct post_office *office;
    int number;
};

static void on_letter(struct mailbox_msg *m) {
    struct letter *l = CONTAINER_OF(m, struct letter, msg);
    cr_assert(pthread_equal(pthread_self(), l->office->reactor_thread));
    cr_assert_eq(l->number, l->office->last[l->poster] + 1, "order is kept per sender");
    l->office->last[l->poster] = l->number;
    l->office->delivered++;
}

static void *poster_main(void *context) {
    struct poster *p = context;
    for (int i = 0; i < POSTS_EACH; i++) {
        p->letters[i] = (struct letter){.office = p->office, .poster = p->number, .number = i + 1};
        p->letters[i].msg.deliver = on_letter;
        reactor_post(p->office->reactor, &p->letters[i].msg);
    }
    return NULL;
}

/* Goal: a message wakes a reactor that waits, none is lost, each sender's order is kept. */
CASE(mailbox, delivers_all_in_order_from_several_threads) {
    NEEDS_KERNEL();
    struct post_office office = {.reactor = t->reactor, .reactor_thread = pthread_self()};
    static struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        posters[i].office = &office;
        posters[i].number = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, poster_main, &posters[i]), 0);
    }
    TURN_UNTIL(t, office.delivered == POSTERS * POSTS_EACH);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
}

/* --- Offload --- */

struct job {
    struct offload_job job;
    pthread_t reactor_thread;
    int *order;
    int *order_count;
    int number;
    bool worked;
    int done;
    sem_t *gate; /* the work waits for it */
};

static void job_work(struct offload_job *j) {
    struct job *x = CONTAINER_OF(j, struct job, job);
    cr_assert_not(pthread_equal(pthread_self(), x->reactor_thread));
    if (x->gate != NULL)
        sem_wait(x->gate);
    x->worked = true;
}

static void job_done(struct offload_job *j) {
    struct job *x = CONTAINER_OF(j, struct job, job);
    cr_assert(pthread_equal(pthread_self(), x->reactor_thread));
    cr_assert(x->worked);
    x->done++;
    x->order[(*x->order_count)++] = x->number;
}

/* Goal: jobs run elsewhere and in order, end here, and the queue says when it is full. */
CASE(offload, runs_jobs_in_order_and_refuses_past_the_limit) {
    NEEDS_KERNEL();
    static struct job jobs[OFFLOAD_JOBS_MAX + 2];
    static int order[OFFLOAD_JOBS_MAX + 2];
    int order_count = 0;
    sem_t gate;
    sem_init(&gate, 0, 0);
    int accepted = 0;
    for (int i = 0; i < OFFLOAD_JOBS_MAX + 2; i++) {
        jobs[i] = (struct job){.job = {.work = job_work, .done = job_done},
                               .reactor_thread = pthread_self(),
                               .order = order,
                               .order_count = &order_count,
                               .number = i,
                               .gate = &gate};
        int error = reactor_offload(t->reactor, &jobs[i].job);
        if (error < 0) {
            cr_assert_eq(error, -EAGAIN);
            break;
        }
        accepted++;
    }
    /* The worker may have taken one out of the queue already. */
    cr_assert(accepted == OFFLOAD_JOBS_MAX || accepted == OFFLOAD_JOBS_MAX + 1);
    for (int i = 0; i < accepted; i++)
        sem_post(&gate);
    TURN_UNTIL(t, order_count == accepted);
    for (int i = 0; i < accepted; i++)
        cr_assert_eq(order[i], i);
    sem_destroy(&gate);
}

/* Goal: freeing the reactor waits for what the worker has taken, and delivers it. */
CASE(offload, free_waits_for_jobs) {
    NEEDS_KERNEL();
    struct job job = {.job = {.work = job_work, .done = job_done}};
    int order[1];
    int order_count = 0;
    job.reactor_thread = pthread_self();
    job.order = order;
    job.order_count = &order_count;
    cr_assert_eq(reactor_offload(t->reactor, &job.job), 0);
    t->reactor = reactor_free(t->reactor);
    cr_assert_eq(job.done, 1);
}

static void job_done_starts_another(struct offload_job *j) {
    struct job *x = CONTAINER_OF(j, struct job, job);
    j->done = job_done;
    x->worked = false;
    cr_assert_eq(reactor_offload(j->reactor, j), 0);
}

/* Goal: the same for a job that the end of another starts meanwhile. */
CASE(offload, free_waits_for_jobs_that_jobs_start) {
    NEEDS_KERNEL();
    int order[1];
    int order_count = 0;
    struct job job = {.job = {.work = job_work, .done = job_done_starts_another},
                      .reactor_thread = pthread_self(),
                      .order = order,
                      .order_count = &order_count};
    cr_assert_eq(reactor_offload(t->reactor, &job.job), 0);
    t->reactor = reactor_free(t->reactor);
    cr_assert_eq(job.done, 1);
}

/* --- Signals --- */

struct watch {
    struct signal_watch watch;
    struct reactor *reactor;
    int raised;
    int signo;
    bool close_inside;
};

static void on_signal(struct signal_watch *w, int signo) {
    struct watch *x = CONTAINER_OF(w, struct watch, watch);
    x->raised++;
    x->signo = signo;
    if (x->close_inside)
        signal_watch_close(x->reactor, w);
}

/* Goal: a signal is an event of the right watch, also after another was closed. */
CASE(signals, are_events) {
    NEEDS_KERNEL();
    struct watch usr1 = {.watch.raised = on_signal, .reactor = t->reactor};
    struct watch usr2 = {.watch.raised = on_signal, .reactor = t->reactor};
    cr_assert_eq(signal_watch_open(t->reactor, &usr1.watch, SIGUSR1), 0);
    cr_assert_eq(signal_watch_open(t->reactor, &usr2.watch, SIGUSR2), 0);
    cr_assert_eq(kill(getpid(), SIGUSR1), 0);
    TURN_UNTIL(t, usr1.raised == 1);
    cr_assert_eq(usr1.signo, SIGUSR1);
    cr_assert_eq(usr2.raised, 0);
    signal_watch_close(t->reactor, &usr1.watch);
    usr2.close_inside = true;
    cr_assert_eq(kill(getpid(), SIGUSR2), 0);
    TURN_UNTIL(t, usr2.raised == 1);
    cr_assert_eq(usr1.raised, 1);

    sigset_t blocked;
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    cr_assert_eq(sigismember(&blocked, SIGUSR1), 0);
    cr_assert_eq(sigismember(&blocked, SIGUSR2), 0);

    usr1.raised = 0;
    cr_assert_eq(signal_watch_open(t->reactor, &usr1.watch, SIGUSR1), 0);
    cr_assert_eq(kill(getpid(), SIGUSR1), 0);
    TURN_UNTIL(t, usr1.raised == 1);
    signal_watch_close(t->reactor, &usr1.watch);
    turn_while_ready(t);
}

/* Goal: sockets that get the numbers of descriptors that signals had are told what happens. */
CASE(signals, leave_nothing_of_their_descriptor) {
    struct watch w = {.watch.raised = on_signal, .reactor = t->reactor};
    struct pair p;
    cr_assert_eq(signal_watch_open(t->reactor, &w.watch, SIGUSR1), 0);
    turn_while_ready(t);
    signal_watch_close(t->reactor, &w.watch);
    TURN_UNTIL(t, !reactor_has_handles(t->reactor));
    cr_assert(pair_open(&p, t, V4));
    pair_end(&p);
}

CASE(signals, that_cannot_be_watched_are_refused) {
    struct watch w = {.watch.raised = on_signal};
    static const int refused[] = {0, -1, 65, SIGKILL, SIGSTOP};
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
        cr_assert_eq(signal_watch_open(t->reactor, &w.watch, refused[i]), -EINVAL);
}

/* --- A loop of the caller's own --- */

/* Goal: with reactor_poll_fd() and reactor_next_deadline() alone, everything gets done. */
CASE(foreign_loop, descriptor_and_deadline_are_enough) {
    NEEDS_KERNEL();
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    p.server.echo = true;
    tcp_read_start(&p.server.conn);
    tcp_read_start(&p.client.conn);
    struct mark m = {.wanted = reactor_now(t->reactor) + MSEC(20)};
    cr_assert_eq(timer_init(&m.timer, t->reactor, on_mark), 0);
    timer_start(&m.timer, m.wanted);
    struct slice s = pattern_slice(t, 0, 60000);
    turn_while_ready(t);
    tcp_write(&p.client.conn, &s, 1); /* between turns */
    while (p.client.got_len < 60000 || m.fired == 0) {
        struct pollfd pfd = {.fd = reactor_poll_fd(t->reactor), .events = POLLIN};
        nsec_t at = reactor_next_deadline(t->reactor);
        int ms = at == 0 ? 0 : 1000;
        if (at != 0 && at != NSEC_NEVER)
            ms = (int)((at - MIN(at, reactor_now(t->reactor))) / MSEC(1)) + 1;
        cr_assert(poll(&pfd, 1, ms) > 0 || ms < 1000, "it waits for something that never comes");
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    }
    timer_done(&m.timer);
    pair_end(&p);
}

/* Goal: slabs that come back between turns are enough for a receive that waited for them. */
CASE_POOL(foreign_loop, notices_that_memory_came_back, BUF_CHUNK_BYTES) {
    NEEDS_KERNEL();
    enum { SLABS = BUF_CHUNK_BYTES / 65536 };
    struct buf *held[SLABS];
    size_t held_count = 0;
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct slice s = pattern_slice(t, 0, 50000);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.client.written == 1);
    for (; held_count < SLABS; held_count++) {
        held[held_count] = buf_new(reactor_pool(t->reactor), BUF_64K, NULL);
        cr_assert_not_null(held[held_count]);
    }
    tcp_read_start(&p.server.conn);
    turn_while_ready(t);
    cr_assert_eq(p.server.got_len, 0);
    while (held_count > 0)
        (void)buf_unref(held[--held_count]);
    while (p.server.got_len < 50000) {
        struct pollfd pfd = {.fd = reactor_poll_fd(t->reactor), .events = POLLIN};
        int ms = reactor_next_deadline(t->reactor) == 0 ? 0 : 1000;
        cr_assert(poll(&pfd, 1, ms) > 0 || ms == 0, "it waits for something that never comes");
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    }
    pair_end(&p);
}

static void on_stop(struct timer *t) {
    reactor_stop(t->reactor);
}

CASE(run, returns_after_stop) {
    struct timer stop;
    cr_assert_eq(timer_init(&stop, t->reactor, on_stop), 0);
    timer_start(&stop, reactor_now(t->reactor) + MSEC(2));
    cr_assert_eq(reactor_run(t->reactor), 0);
    cr_assert(reactor_now(t->reactor) > 0);
    timer_done(&stop);
}

CASE(world, random_bytes_differ_and_wall_time_is_of_this_century) {
    uint8_t a[600] = {0};
    uint8_t b[600] = {0};
    reactor_random(t->reactor, a, sizeof(a));
    rng_fill(reactor_rng(t->reactor), b, sizeof(b));
    cr_assert(memcmp(a, b, sizeof(a)) != 0);
    cr_assert(reactor_walltime(t->reactor) > 1700000000);
}

/* That it grows while the machine sleeps is for a machine that can. */
CASE(world, no_time_is_slept_while_the_machine_is_awake) {
    int64_t before = reactor_suspended(t->reactor);
    cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(2)), 0);
    int64_t grown = reactor_suspended(t->reactor) - before;
    cr_assert(grown > -(int64_t)MSEC(100) && grown < (int64_t)SEC(1), "%lld ns", (long long)grown);
}

/* Goal: wolfSSL sees the reactor whose turn it is, and no freed one. */
CASE(world, wolfssl_asks_the_reactor) {
    uint8_t a[16] = {0};
    uint8_t b[16] = {0};
    cr_assert_eq(peerup_wolf_random(a, sizeof(a)), -1);
    reactor_make_current(t->reactor);
    cr_assert_eq(peerup_wolf_random(a, sizeof(a)), 0);
    cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    cr_assert_eq(peerup_wolf_random(b, sizeof(b)), 0);
    cr_assert(memcmp(a, b, sizeof(a)) != 0);
    cr_assert(peerup_wolf_time(NULL) > 1700000000);
    t->reactor = reactor_free(t->reactor);
    cr_assert_eq(peerup_wolf_random(a, sizeof(a)), -1);
}

/* --- Threads --- */

static void *turning_main(void *context) {
    struct fixture *t = context;
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    p.server.echo = true;
    tcp_read_start(&p.server.conn);
    tcp_read_start(&p.client.conn);
    struct slice s = pattern_slice(t, 0, 3000);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.client.got_len == 3000);
    pair_end(&p);
    t->reactor = reactor_free(t->reactor);
    return NULL;
}

/* Goal: a reactor made on one thread runs on another, and an operation may be started before. */
CASE(threads, made_on_one_and_turned_on_another) {
    NEEDS_KERNEL();
    pthread_t thread;
    struct dgrams d;
    cr_assert(dgrams_open(&d, t, V4));
    udp_close(&d.socket);
    cr_assert_eq(pthread_create(&thread, NULL, turning_main, t), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(d.closed, 1);
}
