/* SPDX-License-Identifier: MIT */

/* sim: runs seeds.  See README.md. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/fiber.h"
#include "tests/sim/scenario.h"

enum { JOBS_MAX = 64, FOLDER_MAX = 64, TEXT_MAX = 4096, EXIT_USAGE = 2 };

struct options {
    const char *program;
    uint64_t first;
    uint64_t count;
    unsigned jobs;
    bool trace;
    bool boxes;
    bool twice;
    bool quiet;
    enum sabotage sabotage;
};

static void folder_make(char *out) {
    const char *base = getenv("TMPDIR");
    (void)snprintf(out, FOLDER_MAX, "%s/peerup-sim-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(out) == NULL) {
        perror(out);
        exit(EXIT_FAILURE);
    }
}

static void print_repeat(const struct options *o, uint64_t seed) {
    (void)printf("  repeat: %s%s --trace --seed %" PRIu64 "\n", o->program,
                 o->boxes ? " --boxes" : "", seed);
}

static bool run_seed(const struct options *o, uint64_t seed) {
    struct scenario_result result;
    char folder[FOLDER_MAX];
    folder_make(folder);
    struct scenario_config cfg = {.seed = seed,
                                  .folder = folder,
                                  .prints_trace = o->trace,
                                  .has_boxes = o->boxes,
                                  .sabotage = o->sabotage};
    scenario_run(&cfg, &result);
    cfg.prints_trace = false;
    if (result.failure[0] == '\0' && o->twice) {
        struct scenario_result again;
        scenario_run(&cfg, &again);
        if (again.hash != result.hash || again.events != result.events)
            (void)snprintf(result.failure, sizeof(result.failure),
                           "two runs differ: hashes %016" PRIx64 " and %016" PRIx64
                           ", events %" PRIu64 " and %" PRIu64,
                           result.hash, again.hash, result.events, again.events);
    }
    (void)rmdir(folder);
    if (result.failure[0] != '\0') {
        (void)printf("seed %" PRIu64 " failed: %s\n", seed, result.failure);
        print_repeat(o, seed);
    } else if (!o->quiet) {
        (void)printf("seed %" PRIu64 ": %u nodes, %u transfers (%u broken by faults), %" PRIu64
                     " bytes, %zu KiB a node, %.0f s, %" PRIu64 " events, hash %016" PRIx64 "\n",
                     seed, result.nodes, result.transfers, result.broken, result.bytes,
                     result.bytes_max >> 10, result.virtual_seconds, result.events, result.hash);
    }
    (void)fflush(stdout);
    return result.failure[0] == '\0';
}

/* After a failure the state stays as it was found, which is no leak to be told of. */
static _Noreturn void end(bool passed) {
    (void)fflush(stdout);
    if (passed)
        exit(EXIT_SUCCESS);
    _exit(EXIT_FAILURE);
}

/* Each seed in a process of its own: what one breaks, the next does not see. */
static pid_t spawn(const struct options *o, uint64_t seed) {
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (pid == 0)
        end(run_seed(o, seed));
    return pid;
}

static bool reap(const struct options *o, pid_t *pids, const uint64_t *seeds) {
    int status;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < o->jobs; i++) {
        if (pids[i] != pid)
            continue;
        pids[i] = 0;
        if (WIFSIGNALED(status))
            (void)printf("seed %" PRIu64 " failed: the program was ended by signal %d\n", seeds[i],
                         WTERMSIG(status));
        else if (WEXITSTATUS(status) > EXIT_FAILURE)
            (void)printf("seed %" PRIu64 " failed: exit status %d\n", seeds[i],
                         WEXITSTATUS(status));
        if (!WIFEXITED(status) || WEXITSTATUS(status) > EXIT_FAILURE)
            print_repeat(o, seeds[i]);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static void nothing(void *user) {
    (void)user;
}

/* A sanitizer says of the first switch of stacks that it may not like it: here, and not in each
 * seed's process. */
static void switch_stacks_once(void) {
    struct fiber f;
    if (fiber_init(&f, nothing, NULL) < 0)
        return;
    fiber_resume(&f);
    fiber_done(&f);
}

static int run_all(const struct options *o) {
    pid_t pids[JOBS_MAX] = {0};
    uint64_t seeds[JOBS_MAX];
    uint64_t failed = 0;
    uint64_t next = o->first;
    unsigned running = 0;
    struct timespec began, ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    switch_stacks_once();
    while (next != o->first + o->count || running > 0) {
        if (next != o->first + o->count && running < o->jobs) {
            unsigned i = 0;
            while (pids[i] != 0)
                i++;
            seeds[i] = next++;
            pids[i] = spawn(o, seeds[i]);
            running++;
        } else {
            failed += !reap(o, pids, seeds);
            running--;
        }
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    double took =
        (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
    (void)printf("seeds from %" PRIu64 ", %.1f a second\n%" PRIu64 " passed, %" PRIu64 " failed\n",
                 o->first, (double)o->count / took, o->count - failed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* What each kind of wrong must be found as. */
static const char *const found_as[SABOTAGE_COUNT] = {
    [SABOTAGE_BYTE] = "got other bytes",
    [SABOTAGE_DOUBLE] = "got other bytes",
    [SABOTAGE_END] = "saw a clean end after",
    [SABOTAGE_HANG] = "did not end in time",
    [SABOTAGE_LEAK] = "left 1 blocks",
    [SABOTAGE_TURNS] = "turns in 60 idle seconds",
    [SABOTAGE_TALK] = "packets in 60 idle seconds",
    [SABOTAGE_CHANCE] = "two runs differ",
};

static bool is_found(const struct options *o, enum sabotage how) {
    struct options with = *o;
    char text[TEXT_MAX] = "";
    int ends[2];
    if (pipe(ends) < 0)
        return false;
    with.sabotage = how;
    with.twice = how == SABOTAGE_CHANCE;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        end(run_seed(&with, o->first));
    }
    (void)close(ends[1]);
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(text) - 1 && (n = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(ends[0]);
    int status = 0;
    (void)waitpid(pid, &status, 0);
    bool found = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE &&
                 strstr(text, found_as[how]) != NULL;
    if (!found)
        (void)printf("not found as \"%s\": %s", found_as[how], text);
    return found;
}

/* Does wrong on purpose, to see that the checkers look. */
static int check_checkers(const struct options *o) {
    int failed = 0;
    for (enum sabotage how = SABOTAGE_NONE + 1; how < SABOTAGE_COUNT; how++)
        failed += !is_found(o, how);
    (void)printf("%d passed, %d failed\n", SABOTAGE_COUNT - 1 - failed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int usage(void) {
    (void)fprintf(stderr, "usage: sim [--boxes] [--trace] [--twice] --seed N\n"
                          "       sim [--boxes] [--quiet] [--twice] [--jobs N] --seeds FROM COUNT\n"
                          "       sim --checkers\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    struct options o = {.program = argv[0], .jobs = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            o.trace = true;
        } else if (strcmp(argv[i], "--boxes") == 0) {
            o.boxes = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            o.twice = true;
        } else if (strcmp(argv[i], "--checkers") == 0) {
            o.first = 2;
            return check_checkers(&o);
        } else if (strcmp(argv[i], "--quiet") == 0) {
            o.quiet = true;
        } else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
            o.jobs = (unsigned)strtoul(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            o.first = strtoull(argv[++i], NULL, 0);
            end(run_seed(&o, o.first));
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
            o.first = strtoull(argv[++i], NULL, 0);
            o.count = strtoull(argv[++i], NULL, 0);
        } else {
            return usage();
        }
    }
    if (o.count == 0 || o.jobs == 0 || o.jobs > JOBS_MAX)
        return usage();
    return run_all(&o);
}
