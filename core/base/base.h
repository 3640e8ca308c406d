/* SPDX-License-Identifier: MIT */
#pragma once

/* What every file may use: scoped cleanup, hand-over, containers and sizes. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Runs fn(&variable) when the variable leaves its scope. */
#define SCOPED(fn) __attribute__((cleanup(fn)))

/* Hands a pointer over: its value is the result, the variable becomes NULL. */
#define TAKE(p)                        \
    ({                                 \
        __auto_type take_value_ = (p); \
        (p) = NULL;                    \
        take_value_;                   \
    })

/* Makes `int name(type **p)` for SCOPED from a free function that accepts NULL. */
#define DEFINE_SCOPED_FREE(type, free_fn)    \
    static inline void free_fn##p(type *p) { \
        free_fn(*p);                         \
    }                                        \
    struct scoped_free_needs_semicolon_

#define CONTAINER_OF(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))
#define ARRAY_COUNT(a)                  (sizeof(a) / sizeof((a)[0]))
/* Each use names its temporaries anew, so that uses nest. */
#define MIN(a, b)                       MIN_UNIQUE_(a, b, __COUNTER__)
#define MAX(a, b)                       MAX_UNIQUE_(a, b, __COUNTER__)
#define MIN_UNIQUE_(a, b, n)            MIN_NAMED_(a, b, PASTE_(min_a_, n), PASTE_(min_b_, n))
#define MAX_UNIQUE_(a, b, n)            MAX_NAMED_(a, b, PASTE_(max_a_, n), PASTE_(max_b_, n))
#define MIN_NAMED_(a, b, x, y) \
    ({                         \
        __auto_type x = (a);   \
        __auto_type y = (b);   \
        x < y ? x : y;         \
    })
#define MAX_NAMED_(a, b, x, y) \
    ({                         \
        __auto_type x = (a);   \
        __auto_type y = (b);   \
        x > y ? x : y;         \
    })
#define PASTE_(a, b)        PASTE_TOKENS_(a, b)
#define PASTE_TOKENS_(a, b) a##b

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

#define NODISCARD    __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
