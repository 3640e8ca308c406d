/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/prompt.h"
#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/authkeys.h"
#include "core/conf/config_file.h"
#include "core/conf/relay_config.h"
#include "core/conf/snapshot.h"
#include "core/conf/units.h"
#include "core/p2p/identity.h"
#include "ctl/lock.h"
#include "ctl/sysenv.h"

enum { SNAPSHOTS_SHOWN_MAX = 32 };

static const char EMPTY_LIST[] =
    "# Peers that may use this relay, one a line: <peer-id>  # comment\n"
    "# Add one with: peerup relay authorize <peer-id> --comment \"label\"\n";

struct setup {
    struct cli *cli;
    char dir[PATH_MAX];
    char paths[RELAY_FILES_COUNT][PATH_MAX + 32]; /* by enum relay_file */
    bool has_snapshot;                            /* one was taken in this run */
};

static int find_paths(struct setup *s) {
    const char *dir = args_text(&s->cli->args, "dir");
    int n = snprintf(s->dir, sizeof(s->dir), "%s", dir == NULL ? "." : dir);
    if (n <= 0 || (size_t)n >= sizeof(s->dir))
        return out_error("invalid --dir value");
    while (n > 1 && s->dir[n - 1] == '/')
        s->dir[--n] = '\0';
    for (size_t i = 0; i < RELAY_FILES_COUNT; i++)
        (void)snprintf(s->paths[i], sizeof(s->paths[i]), "%s/%s", s->dir, RELAY_FILE_NAMES[i]);
    return 0;
}

static bool is_there(const struct setup *s, enum relay_file which) {
    struct stat st;
    return lstat(s->paths[which], &st) == 0;
}

static bool any_is_there(const struct setup *s) {
    return is_there(s, RELAY_FILE_CONFIG) || is_there(s, RELAY_FILE_KEY) ||
           is_there(s, RELAY_FILE_PEERS);
}

/* --- What is there --- */

static void print_config(const struct setup *s) {
    char time[RFC3339_TEXT_MAX];
    struct stat st;
    if (stat(s->paths[RELAY_FILE_CONFIG], &st) == 0)
        out_line(OUT_PLAIN, "  %-24s modified %s", RELAY_CONFIG_NAME,
                 rfc3339_format(st.st_mtime, time));
}

static void print_key(const struct setup *s) {
    SCOPED(identity_done) struct identity me = {.id = PEER_ID_NONE};
    struct problem why = PROBLEM_INIT;
    char id[PEER_ID_TEXT_MAX];

    int e = identity_load(s->paths[RELAY_FILE_KEY], &me, &why);
    if (e == 0)
        out_line(OUT_PLAIN, "  %-24s %s", RELAY_FILE_NAMES[RELAY_FILE_KEY],
                 peer_id_format(&me.id, id));
    else if (e != -ENOENT)
        out_line(OUT_FAILURE, "  %-24s error (%s)", RELAY_FILE_NAMES[RELAY_FILE_KEY], why.text);
}

static void print_peers(const struct setup *s) {
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    struct problem why = PROBLEM_INIT;
    uint32_t count;

    int e = authkeys_load_readable(s->cli->mem, s->paths[RELAY_FILE_PEERS], &keys, &why);
    if (e == 0) {
        (void)authkeys_items(keys, &count);
        out_line(OUT_PLAIN, "  %-24s %u peer(s)", RELAY_FILE_NAMES[RELAY_FILE_PEERS], count);
    } else if (e != -ENOENT) {
        out_line(OUT_FAILURE, "  %-24s error (%s)", RELAY_FILE_NAMES[RELAY_FILE_PEERS], why.text);
    }
}

static void print_existing(const struct setup *s) {
    ssize_t snapshots = snapshot_list(s->dir, NULL, 0);
    out_line(OUT_PLAIN, "Existing files in %s:\n", s->dir);
    print_config(s);
    print_key(s);
    print_peers(s);
    if (snapshots > 0)
        out_line(OUT_PLAIN, "  %-24s %zd snapshot(s)", "backups", snapshots);
}

/* --- Changing it.  Each returns 0, or the exit status after an error was printed. --- */

/* A relay that runs would go on with a key that is no longer there, beside its successor. */
static int check_not_running(const struct setup *s) {
    const char *key = s->paths[RELAY_FILE_KEY];
    return lock_is_taken(key) ? out_error("a relay is running with %s. Stop it first.", key) : 0;
}

static int take_snapshot(struct setup *s) {
    struct problem why = PROBLEM_INIT;
    struct snapshot snapshot;

    if (s->has_snapshot)
        return 0;
    if (snapshot_take(s->cli->mem, s->dir, sysenv_walltime(), &snapshot, &why) < 0)
        return out_error("%s", why.text);
    s->has_snapshot = true;
    out_line(OUT_SUCCESS, "Snapshot: %s/backups/%s", s->dir, snapshot.name);
    return 0;
}

static int remove_file(const struct setup *s, enum relay_file which) {
    if (unlink(s->paths[which]) < 0 && errno != ENOENT)
        return out_error("cannot remove %s: %s", s->paths[which], err_text(-errno));
    return 0;
}

static int remove_all(struct setup *s) {
    int status = check_not_running(s);
    if (status == 0)
        status = take_snapshot(s);
    for (int i = 0; i < RELAY_FILES_COUNT && status == 0; i++)
        status = remove_file(s, (enum relay_file)i);
    return status;
}

static int restore(struct setup *s) {
    struct snapshot found[SNAPSHOTS_SHOWN_MAX];
    char line[PROMPT_LINE_MAX], *end;
    struct problem why = PROBLEM_INIT;

    ssize_t all = snapshot_list(s->dir, found, SNAPSHOTS_SHOWN_MAX);
    if (all < 0)
        return out_error("cannot read %s/backups: %s", s->dir, err_text((int)all));
    if (all == 0)
        return out_error("there are no snapshots in %s", s->dir);
    unsigned long count = (unsigned long)MIN(all, (ssize_t)SNAPSHOTS_SHOWN_MAX);
    out_line(OUT_PLAIN, "\nSnapshots:");
    for (unsigned long i = 0; i < count; i++)
        out_line(OUT_PLAIN, "  %lu. %s", i + 1, found[i].name);
    int status = prompt_line("Number\n> ", line);
    if (status != 0)
        return status;
    unsigned long number = strtoul(line, &end, 10);
    if (strspn(line, "0123456789") != strlen(line) || *end != '\0' || number < 1 || number > count)
        return out_error("no such snapshot: \"%s\"", line);
    if ((status = check_not_running(s)) != 0 || (status = take_snapshot(s)) != 0)
        return status;
    if (snapshot_restore(s->cli->mem, s->dir, &found[number - 1], &why) < 0)
        return out_error("%s", why.text);
    out_line(OUT_SUCCESS, "Restored %s", found[number - 1].name);
    return 0;
}

static int choose_files(struct setup *s) {
    char line[PROMPT_LINE_MAX], question[128];
    for (int i = 0; i < RELAY_FILES_COUNT; i++) {
        if (!is_there(s, (enum relay_file)i))
            continue;
        (void)snprintf(question, sizeof(question), "Keep %s? [Y/n]: ", RELAY_FILE_NAMES[i]);
        int status = prompt_line(question, line);
        if (status != 0)
            return status;
        if (line[0] != 'n' && line[0] != 'N')
            continue;
        status = i == RELAY_FILE_KEY ? check_not_running(s) : 0;
        if (status == 0)
            status = take_snapshot(s);
        if (status == 0)
            status = remove_file(s, (enum relay_file)i);
        if (status != 0)
            return status;
    }
    return 0;
}

static int ask(struct setup *s) {
    char line[PROMPT_LINE_MAX];

    print_existing(s);
    out_line(OUT_PLAIN, "\n  1. Keep all (the default)\n"
                        "  2. Begin afresh: snapshot, then new files and a new key\n"
                        "  3. Restore a snapshot\n"
                        "  4. Decide for each file");
    int status = prompt_line("> ", line);
    if (status != 0)
        return status;
    if (strcmp(line, "2") == 0)
        return remove_all(s);
    if (strcmp(line, "3") == 0)
        return restore(s);
    return strcmp(line, "4") == 0 ? choose_files(s) : 0;
}

/* --- What is missing is made --- */

static int make_file(const struct setup *s, enum relay_file which, struct bytes content) {
    struct problem why = PROBLEM_INIT;
    int e = file_write(s->paths[which], content, 0600, FILE_NEW_ONLY, &why);
    if (e == -EEXIST)
        return 0;
    if (e < 0)
        return out_error("%s", why.text);
    out_line(OUT_SUCCESS, "Created %s", s->paths[which]);
    return 0;
}

static int make_missing(const struct setup *s) {
    SCOPED(strbuf_free) struct strbuf text = STRBUF_INIT(CONFIG_BYTES_MAX);

    relay_config_generate(&text);
    int e = strbuf_error(&text);
    if (e < 0)
        return out_error("%s", err_text(e));
    int status = make_file(s, RELAY_FILE_CONFIG, strbuf_bytes(&text));
    if (status == 0)
        status = make_file(s, RELAY_FILE_PEERS, BYTES_LIT(EMPTY_LIST));
    for (int i = 0; i < RELAY_FILES_COUNT && status == 0; i++)
        if (chmod(s->paths[i], 0600) < 0 && errno != ENOENT)
            status = out_error("cannot set the mode of %s: %s", s->paths[i], err_text(-errno));
    return status;
}

static void print_next_steps(const struct setup *s) {
    if (!is_there(s, RELAY_FILE_KEY))
        out_line(OUT_PLAIN, "\nThe key, %s, is made at the first start.",
                 RELAY_FILE_NAMES[RELAY_FILE_KEY]);
    out_line(OUT_PLAIN,
             "\nNext steps, in %s:\n"
             "  1. See the relay's address:  peerup relay info\n"
             "  2. Authorize a peer:         peerup relay authorize <peer-id> --comment \"label\"\n"
             "  3. Run the relay:            peerup relay serve",
             s->dir);
}

/* With the whole path, as "." would end the sentence. */
static int print_existing_error(const struct setup *s) {
    char path[PATH_MAX];
    return out_error("existing files found in %s. Use --fresh to backup and replace, or run "
                     "interactively",
                     realpath(s->dir, path) == NULL ? s->dir : path);
}

int cmd_relay_setup(struct cli *cli) {
    struct setup s = {.cli = cli};
    struct problem why = PROBLEM_INIT;

    int status = find_paths(&s);
    if (status != 0)
        return status;
    if (directory_make(s.dir, 0700, &why) < 0)
        return out_error("%s", why.text);
    if (any_is_there(&s)) {
        if (args_bool(&cli->args, "fresh"))
            status = remove_all(&s);
        else if (args_bool(&cli->args, "non-interactive"))
            status = print_existing_error(&s);
        else
            status = ask(&s);
    }
    if (status == 0)
        status = make_missing(&s);
    if (status == 0)
        print_next_steps(&s);
    return status;
}
