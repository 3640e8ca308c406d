/* SPDX-License-Identifier: MIT */
#include "ctl/listen_text.h"

#include <stdio.h>
#include <string.h>

#include "core/base/problem.h"
#include "core/conf/units.h"

int listen_text_parse(const char *text, struct net_addr ret_addrs[LISTEN_TEXT_ADDRS_MAX],
                      struct problem *ret_problem) {
    char host[NET_ADDR_TEXT_MAX];
    struct host_port hp;

    int e = host_port_parse(text, true, &hp, ret_problem);
    if (e < 0)
        return e;
    int n = snprintf(host, sizeof(host), "%.*s", (int)hp.host_len, hp.host);
    bool is_local = strcmp(host, "localhost") == 0;
    if (*host == '\0' || is_local) {
        ret_addrs[0] = (struct net_addr){.family = NET_IP4, .port = hp.port};
        ret_addrs[1] = (struct net_addr){.family = NET_IP6, .port = hp.port};
        if (is_local)
            memcpy(ret_addrs[0].ip, (const uint8_t[]){127, 0, 0, 1}, 4);
        ret_addrs[1].ip[15] = is_local ? 1 : 0;
        return 2;
    }
    if (n >= (int)sizeof(host) || net_addr_parse_ip(host, &ret_addrs[0]) < 0)
        return problem_set(ret_problem, -EINVAL, "%s: must be an IP address, or localhost", text);
    ret_addrs[0].port = hp.port;
    return 1;
}
