/* SPDX-License-Identifier: MIT */
#pragma once

/* A stack of its own for code that blocks: a simulated process runs the product's own loops, which
 * wait inside themselves, and goes on in the same place when something has happened. */

#include <ucontext.h>

#include "core/base/base.h"

struct fiber {
    ucontext_t context;
    ucontext_t caller;
    void (*run)(void *user);
    void *user;
    void *stack;
    size_t stack_size;
    bool has_ended;
    /* The sanitizer's idea of both stacks. */
    void *fake_stack;
    const void *caller_stack;
    size_t caller_stack_size;
};

/* -ENOMEM */
NODISCARD int fiber_init(struct fiber *f, void (*run)(void *user), void *user);
/* It has ended, or was never resumed. */
void fiber_done(struct fiber *f);

/* Runs it until it waits or ends. */
void fiber_resume(struct fiber *f);
/* Inside it: back to who resumed it. */
void fiber_wait(struct fiber *f);
