/* SPDX-License-Identifier: MIT */
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
