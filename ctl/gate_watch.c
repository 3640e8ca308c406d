/* SPDX-License-Identifier: MIT */
#include "ctl/gate_watch.h"

#include <signal.h>

#include "core/base/log.h"
#include "core/base/problem.h"
#include "ctl/gate.h"
#include "ctl/node.h"

static void reload(const struct gate_watch *g) {
    struct problem why = PROBLEM_INIT;
    if (node_reload_gate(g->node, &why) < 0)
        log_error(g->log, L_NODE, "authorized_keys not reloaded: the old list stays",
                  kv_str("reason", why.text));
}

static void on_hangup(struct signal_watch *w, int signo) {
    (void)signo;
    reload(CONTAINER_OF(w, struct gate_watch, hangup));
}

static void on_changed(struct file_watch *w) {
    reload(CONTAINER_OF(w, struct gate_watch, file));
}

int gate_watch_open(struct gate_watch *g, struct node *n, struct log *log) {
    struct reactor *r = node_reactor(n);
    const struct gate_table *gate = node_gate(n);

    *g = (struct gate_watch){
        .node = n, .log = log, .hangup.raised = on_hangup, .file.changed = on_changed};
    int e = signal_watch_open(r, &g->hangup, SIGHUP);
    if (e < 0)
        return e;
    g->has_hangup = true;
    if (gate == NULL)
        return 0;
    e = file_watch_open(&g->file, r, gate_table_path(gate));
    g->has_file = e == 0;
    if (e < 0)
        log_warn(log, L_NODE, "authorized_keys cannot be watched: send SIGHUP after changes",
                 kv_err(e));
    else if (gate_table_is_stale(gate))
        reload(g); /* it changed between being read and being watched */
    return 0;
}

void gate_watch_close(struct gate_watch *g) {
    if (g->has_file)
        file_watch_close(&g->file);
    if (g->has_hangup)
        signal_watch_close(node_reactor(g->node), &g->hangup);
    g->has_file = false;
    g->has_hangup = false;
}
