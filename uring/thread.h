/* SPDX-License-Identifier: MIT */
#pragma once

/* A thread that turns a reactor of its own.  It blocks all signals: they are the business of the
 * reactor that watches them, or of the program. */

#include <pthread.h>

#include "core/base/base.h"

struct thread {
    pthread_t handle;
    void (*run)(void *context);
    void *context;
};

/* -EAGAIN */
NODISCARD int thread_start(struct thread *t, void (*run)(void *context), void *context);
/* Waits for its end. */
void thread_join(struct thread *t);
