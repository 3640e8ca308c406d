/* SPDX-License-Identifier: MIT */
#pragma once

/* The option table and what it makes: parsing, defaults, warnings about unknown keys, the output
 * of `config show`, the file that `init` writes, and the tables of the documentation.
 *
 *   struct config_option   one key: where it stands in the file, its type, where its value goes
 *   struct config_group    a map with keys of the user's choice ("services"): an array of structs
 *   struct config_schema   both, for one kind of file
 *
 * To add a key: one row in config.c or relay_config.c and one field in its header.
 *
 * Problems come in two kinds (config.md 3.1).  What makes a file unusable for every command (not
 * YAML, a text where a number must stand, a bad duration) is an error of schema_read().  What only
 * validation minds is collected as findings, each an error or a warning, and the value is left out.
 */

#include "core/base/arena.h"
#include "core/conf/yaml.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"

struct mem;
struct problem;
struct strbuf;

enum config_type {
    CONFIG_BOOL,      /* bool */
    CONFIG_INT,       /* int64_t in [min, max] */
    CONFIG_DURATION,  /* int64_t nanoseconds in [min, max] */
    CONFIG_SIZE,      /* int64_t bytes */
    CONFIG_TEXT,      /* const char * */
    CONFIG_PATH,      /* const char *, resolved against the file's directory (node) or as given */
    CONFIG_LABEL,     /* const char *, a DNS label */
    CONFIG_CHOICE,    /* const char *, one of `choices` */
    CONFIG_PROTOCOL,  /* const char *, "/..." */
    CONFIG_LISTEN,    /* const char *, "host:port", the host may be empty */
    CONFIG_HOST_PORT, /* struct config_host_port */
    CONFIG_ADDRS,     /* struct config_addrs */
    CONFIG_PEERS,     /* struct config_peers */
    CONFIG_SERVERS,   /* struct config_servers: "host:port" each */
    CONFIG_TARGET,    /* struct config_target: a peer ID, or addresses that end in /p2p/ID */
};

enum config_option_flags {
    CONFIG_REQUIRED = 1 << 0,     /* validation fails without it */
    CONFIG_WANTED = 1 << 1,       /* a warning without it; `advice` says what follows */
    CONFIG_NEEDS_PEER = 1 << 2,   /* addresses must end in /p2p/ID */
    CONFIG_SKIP_BAD = 1 << 3,     /* bad items are a warning and left out, not an error */
    CONFIG_SHOW_IF_SET = 1 << 4,  /* config show leaves it out unless the file has it */
    CONFIG_ZERO_DEFAULT = 1 << 5, /* 0 in the file means the default */
};

struct config_option {
    const char *key; /* dotted path; "<name>" stands for a key of the user's choice */
    enum config_type type;
    uint32_t offset;       /* into the snapshot, or into the group's element below "<name>" */
    const char *fallback;  /* text of the value when the key is missing; NULL: empty */
    const char *generated; /* what `init` writes; list items separated by LF; NULL: nothing */
    const char *help;      /* one or more sentences for the documentation */
    const char *advice;    /* see CONFIG_WANTED */
    const char *choices;   /* "one two three" */
    unsigned flags;
    int64_t min;
    int64_t max; /* 0: no bound */
};

struct config_group {
    const char *key;
    const char *what; /* "service name", in messages about keys that are no DNS label; NULL: any */
    uint32_t items_offset; /* of a pointer to the array */
    uint32_t count_offset; /* of its uint32_t count */
    uint32_t item_size;    /* an element begins with a struct config_item */
};

struct config_schema {
    const char *program; /* "peerup": what to upgrade when the file's version is too new */
    const struct config_option *options;
    size_t options_count;
    const struct config_group *groups;
    size_t groups_count;
    bool paths_follow_file; /* relative paths resolve against the file's directory */
};

/* Values */

struct config_item {
    const char *key;
    uint32_t line;
};

struct config_host_port {
    const char *text; /* as written; NULL when missing or bad */
    const char *host; /* without brackets; a name or an IP address */
    uint16_t port;
};

struct config_addr {
    struct multiaddr addr; /* whole, with a /p2p/ID at its end if it has one */
    const char *text;
    uint32_t line;
};

struct config_addrs {
    const struct config_addr *items;
    uint32_t count;
    uint32_t bad_count; /* entries that were left out; each is a finding */
    bool is_set;        /* the key stands in the file, if only as [] */
};

struct config_peers {
    const struct peer_id *items; /* the valid ones */
    uint32_t count;
    bool is_set; /* the file lists at least one entry, valid or not */
};

struct config_servers {
    const struct config_host_port *items;
    uint32_t count;
    bool is_set; /* the key stands in the file, if only as [] */
};

struct config_target {
    const char *const *texts; /* the values as written */
    uint32_t texts_count;
    struct peer_id id;             /* no ID when the value is bad: `error_text` says why */
    const struct multiaddr *addrs; /* without /p2p/ID; none when the value is a peer ID */
    uint32_t addrs_count;
    const char *error_text;
};

/* A copy of the addresses alone, the caller's (mem_free); NULL when there is no memory. */
NODISCARD struct multiaddr *config_addrs_array(struct mem *mem, const struct config_addrs *a);

/* What every snapshot begins with. */

struct config_finding {
    bool is_error;
    const char *text; /* "<file>:<line>: <key>: ..." */
    struct config_finding *next;
};

struct config_base {
    struct arena arena;
    const char *path;                /* as it was found or given */
    struct config_finding *findings; /* in the order in which they were found */
    struct config_finding **findings_tail;
    uint32_t *lines; /* for each row of the table: its line in the file, 0 when missing */
};

/* Fills a snapshot from text: defaults first, then the file.  `base` begins the snapshot, which
 * the caller has zeroed apart from base->arena and base->path.
 *   -ERR_MALFORMED       not YAML
 *   -ERR_CONFIG_INVALID  a value of the wrong type, a version that is too new
 *   -ERR_LIMIT, -ENOMEM                                                                        */
NODISCARD int schema_read(const struct config_schema *s, struct config_base *base,
                          struct bytes text, struct problem *ret_problem);

/* Adds a finding.  Line 0: none.  -ENOMEM */
NODISCARD int schema_find(struct config_base *base, bool is_error, uint32_t line,
                          const char *format, ...) PRINTF(4, 5);

/* 0, or -ERR_CONFIG_INVALID with the first finding that is an error. */
NODISCARD int schema_check(const struct config_base *base, struct problem *ret_problem);

/* The line of a key in the file, 0 when it is missing there.  The key must be in the table. */
uint32_t schema_line(const struct config_schema *s, const struct config_base *base,
                     const char *key);

/* Writes the snapshot as YAML with 4-space indentation, in the table's order. */
void schema_show(const struct config_schema *s, const struct config_base *base, struct strbuf *out);

/* The known key that is nearest to an unknown one, for the warning.  Never NULL. */
const char *schema_nearest_key(const struct config_schema *s, struct arena *a, const char *key);

/* "bool", "list of multiaddr": for the documentation. */
const char *config_type_name(enum config_type type);
