/* SPDX-License-Identifier: MIT */
#include "tests/sim/fiber.h"

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define HAS_ASAN 1
#endif
#endif

enum {
    /* Arithmetic on RSA keys and an instrumented build's frames are the deepest. */
    STACK_BYTES = 1 << 21,
    GUARD_BYTES = 4096,
};

static void leave(struct fiber *f, bool for_good) {
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &f->fake_stack, f->caller_stack,
                                   f->caller_stack_size);
#else
    (void)for_good;
#endif
    (void)swapcontext(&f->context, &f->caller);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(f->fake_stack, &f->caller_stack, &f->caller_stack_size);
#endif
}

static void entry(unsigned high, unsigned low) {
    struct fiber *f = (struct fiber *)((uintptr_t)high << 32 | low);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(NULL, &f->caller_stack, &f->caller_stack_size);
#endif
    f->run(f->user);
    f->has_ended = true;
    leave(f, true);
}

int fiber_init(struct fiber *f, void (*run)(void *user), void *user) {
    void *stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return -ENOMEM;
    (void)mprotect(stack, GUARD_BYTES, PROT_NONE); /* only a luckier place to crash in */
    *f = (struct fiber){.run = run, .user = user, .stack = stack, .stack_size = STACK_BYTES};
    (void)getcontext(&f->context);
    f->context.uc_stack.ss_sp = (uint8_t *)stack + GUARD_BYTES;
    f->context.uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, (void (*)(void))entry, 2, (unsigned)((uintptr_t)f >> 32),
                (unsigned)(uintptr_t)f);
    return 0;
}

void fiber_done(struct fiber *f) {
    if (f->stack != NULL)
        (void)munmap(f->stack, f->stack_size);
    f->stack = NULL;
}

void fiber_resume(struct fiber *f) {
    assert(!f->has_ended);
#ifdef HAS_ASAN
    void *fake_stack;
    __sanitizer_start_switch_fiber(&fake_stack, f->context.uc_stack.ss_sp,
                                   f->context.uc_stack.ss_size);
#endif
    (void)swapcontext(&f->caller, &f->context);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
}

void fiber_wait(struct fiber *f) {
    leave(f, false);
}
