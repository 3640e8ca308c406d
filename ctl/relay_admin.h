/* SPDX-License-Identifier: MIT */
#pragma once

/* A relay's admin API: .relay-admin.sock and .relay-admin.cookie beside its config
 * (ctl/api_socket.h).  What it is asked about are groups of pairing codes; as long as a relay makes
 * none there are none to list or to revoke:
 *
 *   GET    /v1/pair        []
 *   DELETE /v1/pair/{id}   404 {"error":"group not found"}
 *
 * Spec:    daemon-api.md, section 8.
 * Thread:  the reactor's. */

#include "core/base/base.h"

struct api_socket;
struct log;
struct reactor;
struct relay_config;

struct relay_admin {
    struct api_socket *api; /* NULL: a relay does its work without */
};

/* What cannot be opened is logged. */
void relay_admin_open(struct relay_admin *a, struct reactor *r, struct log *log,
                      const struct relay_config *config);

/* Harmless when it is not open. */
void relay_admin_close(struct relay_admin *a);
