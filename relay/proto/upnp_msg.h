/* SPDX-License-Identifier: MIT */
#pragma once

/* Messages to a gateway that maps ports by UPnP: the search for it (SSDP), HTTP, what it says of
 * itself (XML), and calls (SOAP).  As much of each as an Internet Gateway Device needs; whatever it
 * says is bounded by the buffer that holds it, and nothing of it is sent on but a path of printable
 * characters.
 *
 * Spec:    UPnP Device Architecture 1.0, sections 1.2 and 3; WANIPConnection:1 and :2,
 *          WANPPPConnection:1; RFC 9112 (lengths, chunks).
 * Thread:  any. */

#include "core/base/bytes.h"
#include "core/base/net_addr.h"

enum {
    UPNP_SEARCH_PORT = 1900,
    UPNP_SEARCH_BYTES_MAX = 256,
    UPNP_REQUEST_BYTES_MAX = 2048,
    UPNP_ANSWER_BYTES_MAX = 64 << 10, /* descriptions have 2 to 20 KiB */
    UPNP_PATH_MAX = 256,
    UPNP_LIFETIME_S = 3600,
};

/* Where SSDP's searches go. */
extern const struct net_addr UPNP_SEARCH_GROUP;

struct upnp_url {
    struct net_addr at;       /* IPv4 */
    char path[UPNP_PATH_MAX]; /* begins with "/"; printable, without spaces */
};

enum upnp_service_type { UPNP_WANIP_2, UPNP_WANIP_1, UPNP_WANPPP_1 };

/* What maps ports there. */
struct upnp_service {
    enum upnp_service_type type;
    struct upnp_url control;
};

/* --- The search --- */

/* Returns the length. */
size_t upnp_encode_search(char ret_out[UPNP_SEARCH_BYTES_MAX]);

/* Where the answering device describes itself.
 *   -ERR_MALFORMED    no answer to a search, or without a place
 *   -ERR_UNSUPPORTED  a place that is not "http://<IPv4 address>[:<port>]/..." */
NODISCARD int upnp_parse_search_answer(struct bytes datagram, struct upnp_url *ret_url);

/* --- HTTP; every answer is a connection of its own --- */

/* A request for a document.  Returns the length. */
size_t upnp_encode_get(const struct upnp_url *url, char ret_out[UPNP_REQUEST_BYTES_MAX]);

/* What came so far of an answer, which is rewritten when it came in chunks, so that a whole one is
 * parsed once.  `is_ended`: nothing follows.
 *   0               whole; the body lies in `data`
 *   -EAGAIN         more must come
 *   -ERR_MALFORMED  not HTTP, or it ended in the middle */
NODISCARD int upnp_parse_http(uint8_t *data, size_t len, bool is_ended, unsigned *ret_status,
                              struct bytes *ret_body);

/* --- The description --- */

/* The best of the services that map ports; relative places are at `at`, or at the document's
 * URLBase.
 *   -ENOENT           there is none
 *   -ERR_UNSUPPORTED  its place is none of ours, as above */
NODISCARD int upnp_parse_description(struct bytes xml, const struct upnp_url *at,
                                     struct upnp_service *ret_service);

/* --- Calls --- */

enum upnp_action { UPNP_GET_EXTERNAL_ADDRESS, UPNP_ADD_MAPPING, UPNP_DELETE_MAPPING };

struct upnp_call {
    enum upnp_action action;
    bool is_tcp; /* of ADD and DELETE, as the next */
    uint16_t external_port;
    uint16_t internal_port; /* of ADD, as the next */
    struct net_addr client;
    uint32_t lifetime_s; /* 0: for ever */
};

/* Returns the length. */
size_t upnp_encode_call(const struct upnp_service *s, const struct upnp_call *call,
                        char ret_out[UPNP_REQUEST_BYTES_MAX]);

/* -ERR_MALFORMED: there is no IPv4 address in it */
NODISCARD int upnp_parse_external_address(struct bytes body, struct net_addr *ret_ip);

/* The number of the fault; 0: there is none in it. */
unsigned upnp_parse_fault(struct bytes body);

enum upnp_fault {
    UPNP_FAULT_CONFLICT = 718,       /* another host has the port */
    UPNP_FAULT_SAME_PORTS = 724,     /* the external port must be the internal one */
    UPNP_FAULT_ONLY_PERMANENT = 725, /* no lifetimes */
};
