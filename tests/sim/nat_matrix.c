/* SPDX-License-Identifier: MIT */

/* nat-matrix: which two nodes behind boxes come to a direct connection, how often on the first
 * attempt, and how soon.  See README.md.
 *
 * Each run is a process with a seed of its own; results stand in memory that all share. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/fiber.h"
#include "tests/sim/nat_table.h"

enum { JOBS_MAX = 64, FOLDER_MAX = 64, RUNS_MAX = 1000, EXIT_USAGE = 2, FAILURES_SHOWN_MAX = 20 };

/* What is asked for: on the first attempt, of 100 runs without loss; of fewer runs of a pair none
 * or one may need another.  Decision 6 has the rest. */
enum { FIRST_PERCENT_MIN = 97, LATER_RUNS_MAX = 1 };
#define DIRECT_WITHIN SEC(3)
#define RATE_MAX      1.0

struct options {
    const char *program;
    const char *only; /* a pair's name, or that of a group; NULL: all */
    uint64_t seed;
    uint32_t runs;
    unsigned jobs;
    bool trace;
    bool quiet; /* no matrix, only what failed and the sum */
};

struct matrix {
    struct options o;
    struct nat_table table;
    struct pair_result *results; /* of each cell o.runs */
};

/* What became of the runs of one cell, or of all of a group. */
struct tally {
    uint32_t runs; /* of pairs that can meet */
    uint32_t first;
    uint32_t later;
    uint32_t never;
    uint32_t beyond; /* direct, though they need not be */
    uint32_t relayed;
    double rate_max;
    uint32_t times_count;
    nsec_t *times; /* until it was direct; may be NULL */
};

/* --- Running --- */

static struct pair_result *result_of(const struct matrix *m, uint32_t cell, uint32_t run) {
    return &m->results[(size_t)cell * m->o.runs + run];
}

static uint64_t seed_of(const struct matrix *m, uint32_t cell, uint32_t run) {
    return m->o.seed + (uint64_t)cell * RUNS_MAX + run;
}

static void run_one(const struct matrix *m, uint32_t cell, uint32_t run) {
    char folder[FOLDER_MAX];
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/peerup-sim-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        _exit(EXIT_FAILURE);
    }
    pair_run(&m->table.cells[cell].plan, seed_of(m, cell, run), folder, m->o.trace,
             result_of(m, cell, run));
    (void)rmdir(folder);
    (void)fflush(stdout);
}

static void nothing(void *user) {
    (void)user;
}

/* What a sanitizer says of switching stacks it says here, and not in each process. */
static void switch_stacks_once(void) {
    struct fiber f;
    if (fiber_init(&f, nothing, NULL) < 0)
        return;
    fiber_resume(&f);
    fiber_done(&f);
}

static void spawn(const struct matrix *m, uint32_t cell, uint32_t run) {
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (pid > 0)
        return;
    run_one(m, cell, run);
    /* After a failure the state stays as it was found, which is no leak to be told of. */
    if (result_of(m, cell, run)->failure[0] == '\0')
        exit(EXIT_SUCCESS);
    _exit(EXIT_FAILURE);
}

/* A child that left a result and ended badly all the same has leaked. */
static bool reap(void) {
    int status;
    return wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) <= EXIT_FAILURE;
}

static bool is_wanted(const struct matrix *m, uint32_t cell) {
    const char *only = m->o.only;
    if (only == NULL || strcmp(m->table.cells[cell].name, only) == 0)
        return true;
    const struct nat_group *g = m->table.groups;
    while (cell >= g->cells_first + g->cells_count)
        g++;
    return strcmp(g->title, only) == 0;
}

/* Returns how many processes ended badly. */
static uint32_t run_all(const struct matrix *m) {
    unsigned running = 0;
    uint32_t bad = 0;
    switch_stacks_once();
    for (uint32_t cell = 0; cell < m->table.cells_count; cell++) {
        for (uint32_t run = 0; run < m->o.runs && is_wanted(m, cell); run++) {
            if (running == m->o.jobs) {
                bad += !reap();
                running--;
            }
            spawn(m, cell, run);
            running++;
        }
    }
    for (; running > 0; running--)
        bad += !reap();
    return bad;
}

/* --- Counting --- */

static bool is_first(const struct pair_result *r) {
    return r->is_direct && r->attempts <= 1;
}

static void count_run(struct tally *t, const struct pair_plan *plan, const struct pair_result *r) {
    if (plan->can_meet) {
        t->runs++;
        t->first += is_first(r);
        t->later += r->is_direct && !is_first(r);
        t->never += !r->is_direct;
    } else {
        t->beyond += r->is_direct;
        t->relayed += !r->is_direct;
    }
    t->rate_max = MAX(t->rate_max, r->rate);
    if (r->is_direct && t->times != NULL)
        t->times[t->times_count++] = r->took;
}

static void count_cell(const struct matrix *m, struct tally *t, uint32_t cell) {
    for (uint32_t run = 0; run < m->o.runs && is_wanted(m, cell); run++)
        count_run(t, &m->table.cells[cell].plan, result_of(m, cell, run));
}

static int compare_times(const void *a, const void *b) {
    nsec_t x = *(const nsec_t *)a;
    nsec_t y = *(const nsec_t *)b;
    return (x > y) - (x < y);
}

static double seconds_at(const struct tally *t, uint32_t percent) {
    return t->times_count == 0 ? 0
                               : (double)t->times[(t->times_count - 1) * percent / 100] / SEC(1);
}

/* --- Telling --- */

/* '+' all runs on the first attempt, a digit where some needed more (tenths), '!' never in one;
 * '-' relayed, 'o' direct though it need not be, at least in one run. */
static char sign_of(const struct matrix *m, uint32_t cell) {
    struct tally t = {.runs = 0};
    count_cell(m, &t, cell);
    if (!is_wanted(m, cell))
        return ' ';
    if (!m->table.cells[cell].plan.can_meet)
        return t.beyond > 0 ? 'o' : '-';
    if (t.never > 0)
        return '!';
    static const char tenths[] = "0123456789";
    return t.later == 0 ? '+' : tenths[10 * t.first / t.runs];
}

static void print_matrix(const struct matrix *m, const struct nat_group *g) {
    (void)printf("%-16s", "dials \\ dialled");
    for (uint32_t k = 0; k < g->kinds_count; k++)
        (void)printf(" %2u", k + 1);
    (void)printf("\n");
    for (uint32_t i = 0; i < g->kinds_count; i++) {
        (void)printf("%2u %-13s", i + 1, g->kinds[i]);
        for (uint32_t k = 0; k < g->kinds_count; k++)
            (void)printf("  %c", sign_of(m, g->cells_first + i * g->kinds_count + k));
        (void)printf("\n");
    }
}

static void print_tally(struct tally *t) {
    if (t->times_count > 0)
        qsort(t->times, t->times_count, sizeof(*t->times), compare_times);
    if (t->runs > 0)
        (void)printf("can meet: %u runs, %.1f %% on the first attempt, %u later, %u never\n",
                     t->runs, 100.0 * t->first / t->runs, t->later, t->never);
    if (t->beyond + t->relayed > 0)
        (void)printf("cannot: %u runs relayed, at most %.2f packets a second and peer; %u direct\n",
                     t->relayed, t->rate_max, t->beyond);
    if (t->times_count > 0)
        (void)printf("direct after the circuit stood: median %.3f s, 99 %% %.3f s, most %.3f s\n",
                     seconds_at(t, 50), seconds_at(t, 99), seconds_at(t, 100));
}

static void print_list(const struct matrix *m, const struct nat_group *g) {
    for (uint32_t i = 0; i < g->cells_count; i++) {
        uint32_t cell = g->cells_first + i;
        if (is_wanted(m, cell))
            (void)printf("  %c  %s\n", sign_of(m, cell), m->table.cells[cell].name);
    }
}

static void print_group(const struct matrix *m, const struct nat_group *g) {
    struct tally all = {.times = calloc((size_t)g->cells_count * m->o.runs, sizeof(*all.times))};
    if (all.times == NULL)
        abort();
    for (uint32_t i = 0; i < g->cells_count; i++)
        count_cell(m, &all, g->cells_first + i);
    if (all.runs + all.beyond + all.relayed > 0) {
        (void)printf("\n%s\n", g->title);
        if (g->kinds_count > 0)
            print_matrix(m, g);
        else
            print_list(m, g);
        print_tally(&all);
    }
    free(all.times);
}

/* --- Judging --- */

/* NULL: as it should be. */
static const char *fault_of_run(const struct pair_plan *plan, const struct pair_result *r,
                                char *text, size_t size) {
    if (!r->is_over)
        return "the program was ended";
    if (r->failure[0] != '\0')
        return r->failure;
    if (plan->can_meet && !r->is_direct)
        return "never met";
    if (is_first(r) && r->took > DIRECT_WITHIN)
        (void)snprintf(text, size, "took %.3f s", (double)r->took / SEC(1));
    else if (r->rate > RATE_MAX)
        (void)snprintf(text, size, "%.2f packets a second and peer", r->rate);
    else
        return NULL;
    return text;
}

static void print_repeat(const struct matrix *m, uint32_t cell, uint32_t run) {
    (void)printf("  repeat: %s --trace --seed %" PRIu64 " --only '%s'\n", m->o.program,
                 m->o.seed + run, m->table.cells[cell].name);
}

static uint32_t judge_cell(const struct matrix *m, uint32_t cell, uint32_t failed) {
    const struct nat_cell *c = &m->table.cells[cell];
    struct tally t = {.runs = 0};
    count_cell(m, &t, cell);
    uint32_t before = failed;
    for (uint32_t run = 0; run < m->o.runs; run++) {
        char text[64];
        const char *fault = fault_of_run(&c->plan, result_of(m, cell, run), text, sizeof(text));
        if (fault == NULL || failed++ >= FAILURES_SHOWN_MAX)
            continue;
        (void)printf("failed: %s: %s\n", c->name, fault);
        print_repeat(m, cell, run);
    }
    if (t.later > LATER_RUNS_MAX && 100 * t.first < FIRST_PERCENT_MIN * t.runs) {
        (void)printf("failed: %s: %u of %u on the first attempt\n", c->name, t.first, t.runs);
        failed++;
    }
    return failed - before;
}

static int judge(const struct matrix *m, uint32_t bad) {
    struct tally all = {.runs = 0};
    uint32_t failed = 0;
    uint32_t cells = 0;
    for (uint32_t i = 0; i < m->table.cells_count; i++) {
        if (!is_wanted(m, i))
            continue;
        count_cell(m, &all, i);
        failed += judge_cell(m, i, failed);
        cells++;
    }
    if (bad > 0)
        (void)printf("failed: %u processes ended badly\n", bad);
    if (100 * all.first < FIRST_PERCENT_MIN * all.runs)
        failed++;
    if (all.runs > 0)
        (void)printf("\n%u pairs, %u runs of those that can meet, %.2f %% on the first attempt\n",
                     cells, all.runs, 100.0 * all.first / all.runs);
    (void)printf("%u passed, %u failed\n", cells * m->o.runs - MIN(failed, cells * m->o.runs),
                 failed + bad);
    return failed + bad == 0 && cells > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_matrix(struct matrix *m) {
    struct timespec began, ended;
    nat_table_make(&m->table);
    size_t size = (size_t)m->table.cells_count * m->o.runs * sizeof(*m->results);
    m->results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m->results == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    uint32_t bad = run_all(m);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    for (uint32_t i = 0; i < m->table.groups_count && !m->o.quiet; i++)
        print_group(m, &m->table.groups[i]);
    (void)printf("\nseeds from %" PRIu64 ", %lld s\n", m->o.seed,
                 (long long)(ended.tv_sec - began.tv_sec));
    int status = judge(m, bad);
    (void)munmap(m->results, size);
    return status;
}

static int usage(void) {
    (void)fprintf(stderr, "usage: nat-matrix [--jobs N] [--only NAME] [--quiet] [--trace]\n"
                          "                  [--seed N | --seeds FROM COUNT]\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    static struct matrix m;
    m.o = (struct options){.program = argv[0], .seed = 1, .runs = 1, .jobs = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            m.o.trace = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            m.o.quiet = true;
        } else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
            m.o.jobs = (unsigned)strtoul(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            m.o.only = argv[++i];
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            m.o.seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
            m.o.seed = strtoull(argv[++i], NULL, 0);
            m.o.runs = (uint32_t)strtoul(argv[++i], NULL, 0);
        } else {
            return usage();
        }
    }
    if (m.o.runs == 0 || m.o.runs > RUNS_MAX || m.o.jobs == 0 || m.o.jobs > JOBS_MAX)
        return usage();
    return run_matrix(&m);
}
