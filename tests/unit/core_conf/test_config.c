/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"
#include "core/conf/relay_config.h"
#include "tests/unit/core_conf/support.h"

#define ESSENTIAL                                        \
    "identity:\n"                                        \
    "  key_file: identity.key\n"                         \
    "network:\n"                                         \
    "  listen_addresses: [/ip4/0.0.0.0/udp/0/quic-v1]\n" \
    "security:\n"                                        \
    "  authorized_keys_file: authorized_keys\n"

static struct config *parse(const char *text) {
    struct problem why = PROBLEM_INIT;
    struct config *c = NULL;
    int e = config_parse(mem_system(), "/etc/peerup/config.yaml", bytes_of_str(text), &c, &why);
    cr_assert(e == 0, "%s", why.text);
    return c;
}

static uint32_t count_findings(const struct config *c, bool is_error) {
    uint32_t count = 0;
    for (const struct config_finding *f = c->base.findings; f != NULL; f = f->next)
        count += f->is_error == is_error ? 1 : 0;
    return count;
}

Test(config, essential_file_loads_with_defaults) {
    /* Goal: what the README shows works as it stands.  Spec: config.md 3.1, decision 3. */
    SCOPED(config_freep) struct config *c = parse(ESSENTIAL);
    struct problem why = PROBLEM_INIT;

    cr_assert(config_check(c, &why) == 0, "%s", why.text);
    cr_expect_eq(c->version, 1);
    cr_expect_str_eq(c->identity.key_file, "/etc/peerup/identity.key");
    cr_expect_str_eq(c->security.authorized_keys_file, "/etc/peerup/authorized_keys");
    cr_expect(c->security.enable_connection_gating, "gating must be on by default");
    cr_expect_eq(c->relay.reservation_interval_ns, 120 * INT64_C(1000000000));
    cr_expect_str_eq(c->discovery.rendezvous, "peerup-default-network");
    cr_expect_null(c->discovery.network);
    cr_expect(c->protocols.ping_pong_enabled);
    cr_expect_str_eq(c->protocols.ping_pong_id, "/pingpong/1.0.0");
    cr_expect_str_eq(c->telemetry.metrics_listen_address, "127.0.0.1:9091");
    cr_expect_eq(c->network.listen_addresses.count, 1);
    cr_expect_str_eq(c->network.transport, "auto");
    cr_expect_str_eq(c->network.security, "auto");
    cr_expect(!c->network.stun_servers.is_set);
    cr_expect_eq(count_findings(c, false), 1);
    cr_expect_str_eq(c->base.findings->text,
                     "/etc/peerup/config.yaml: relay.addresses: no relay is configured: peers are "
                     "reached by their addresses only");
}

/* Every key of the table, each with a value that is not its default. */
static const char EVERY_KEY[] =

    "version: 1\n"
    "identity: {key_file: ./k}\n"
    "network:\n"
    "  listen_addresses: [/ip4/1.2.3.4/tcp/1, /ip6/::/udp/2/quic-v1]\n"
    "  transport: tcp\n"
    "  security: noise\n"
    "  force_private_reachability: yes\n"
    "  resource_limits_enabled: on\n"
    "  stun_servers: [\"stun.example.com:3478\", \"[2001:db8::1]:3478\"]\n"
    "relay:\n"
    "  addresses: [/ip4/9.9.9.9/tcp/7777/p2p/" PEER_R "]\n"
    "  reservation_interval: 1m30s\n"
    "discovery:\n"
    "  rendezvous: crew\n"
    "  network: my-crew\n"
    "  bootstrap_peers: [/ip4/8.8.8.8/tcp/1/p2p/" PEER_B "]\n"
    "security:\n"
    "  authorized_keys_file: /abs/keys\n"
    "  enable_connection_gating: false\n"
    "protocols:\n"
    "  ping_pong: {enabled: false, id: /x/1}\n"
    "services:\n"
    "  web: {enabled: no, local_address: \"localhost:80\", protocol: my-web}\n"
    "  ssh:\n"
    "    enabled: true\n"
    "    local_address: \"[::1]:22\"\n"
    "    allowed_peers: [" PEER_A "]\n"
    "names:\n"
    "  home: " PEER_A "\n"
    "  lab: [/ip4/1.1.1.1/udp/1/quic-v1/p2p/" PEER_B ", /ip4/2.2.2.2/tcp/2/p2p/" PEER_B "]\n"
    "telemetry:\n"
    "  metrics: {enabled: true, listen_address: \":9191\"}\n"
    "  audit: {enabled: true}\n";

Test(config, every_key_of_the_table_is_read) {
    SCOPED(config_freep) struct config *c = parse(EVERY_KEY);

    cr_expect_eq(count_findings(c, true) + count_findings(c, false), 0);
    cr_expect_str_eq(c->identity.key_file, "/etc/peerup/k");
    cr_expect_eq(c->network.listen_addresses.count, 2);
    cr_expect_str_eq(c->network.listen_addresses.items[1].text, "/ip6/::/udp/2/quic-v1");
    cr_expect(c->network.force_private_reachability);
    cr_expect(c->network.resource_limits_enabled);
    cr_expect_str_eq(c->network.transport, "tcp");
    cr_expect_str_eq(c->network.security, "noise");
    cr_assert_eq(c->network.stun_servers.count, 2);
    cr_expect_str_eq(c->network.stun_servers.items[1].host, "2001:db8::1");
    cr_expect_eq(c->network.stun_servers.items[1].port, 3478);
    cr_expect_eq(c->relay.addresses.count, 1);
    cr_expect_eq(c->relay.addresses.items[0].line, 11);
    cr_expect_eq(c->relay.reservation_interval_ns, 90 * INT64_C(1000000000));
    cr_expect_str_eq(c->discovery.rendezvous, "crew");
    cr_expect_str_eq(c->discovery.network, "my-crew");
    cr_expect_eq(c->discovery.bootstrap_peers.count, 1);
    cr_expect_str_eq(c->security.authorized_keys_file, "/abs/keys");
    cr_expect(!c->security.enable_connection_gating);
    cr_expect(!c->protocols.ping_pong_enabled);
    cr_expect_str_eq(c->protocols.ping_pong_id, "/x/1");
    cr_expect(c->telemetry.metrics_enabled);
    cr_expect_str_eq(c->telemetry.metrics_listen_address, ":9191");
    cr_expect(c->telemetry.audit_enabled);

    cr_assert_eq(c->services_count, 2);
    cr_expect_str_eq(c->services[0].item.key, "ssh", "services are sorted by name");
    const struct config_service *ssh = config_service_find(c, "ssh");
    const struct config_service *web = config_service_find(c, "web");
    cr_expect(ssh->enabled && ssh->local.port == 22);
    cr_expect_str_eq(ssh->local.host, "::1");
    cr_expect(ssh->allowed_peers.is_set && ssh->allowed_peers.count == 1);
    cr_expect(!web->enabled && !web->allowed_peers.is_set);
    cr_expect_str_eq(web->protocol, "my-web");
    cr_expect_null(config_service_find(c, "xrdp"));

    cr_assert_eq(c->names_count, 2);
    cr_expect(peer_id_equal(&config_name_find(c, "home")->target.id, &ssh->allowed_peers.items[0]));
    cr_expect_eq(config_name_find(c, "home")->target.addrs_count, 0);
    cr_expect_eq(config_name_find(c, "lab")->target.addrs_count, 2);
    cr_expect_null(config_name_find(c, "Home"), "names are case-sensitive");
}

Test(config, what_makes_a_file_unusable_names_file_line_and_key) {
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"version: 2\nnetwork: [\"other shape\"]\n",
         "c.yaml:1: config version too new: version 2 is newer than supported version 1; please "
         "upgrade peerup"},
        {"version: one\n", "c.yaml:1: version: must be a whole number, not \"one\""},
        {"version: 0x1\n", "c.yaml:1: version: must be a whole number, not \"0x1\""},
        {"version: -1\n", "c.yaml:1: version: must be at least 0"},
        {"- a\n", "c.yaml:1: the file: must be a mapping of keys to values"},
        {"a: 1\na: 2\n",
         "failed to parse YAML: c.yaml:2: mapping key \"a\" already defined at line 1"},
        {"network: 5\n", "c.yaml:1: network: must be a mapping of keys to values"},
        {"network:\n  listen_addresses: /ip4/1.2.3.4/tcp/1\n",
         "c.yaml:2: network.listen_addresses: must be a list"},
        {"network:\n  listen_addresses:\n    - a: 1\n",
         "c.yaml:3: network.listen_addresses: each item must be a text"},
        {"network:\n  force_private_reachability: maybe\n",
         "c.yaml:2: network.force_private_reachability: must be true or false, not \"maybe\""},
        {"network:\n  transport: udp\n",
         "c.yaml:2: network.transport: must be one of: auto quic tcp; not \"udp\""},
        {"network:\n  transport: auto quic\n",
         "c.yaml:2: network.transport: must be one of: auto quic tcp; not \"auto quic\""},
        {"identity:\n  key_file: [a]\n", "c.yaml:2: identity.key_file: must be a single value"},
        {"relay:\n  reservation_interval: abc\n",
         "c.yaml:2: relay.reservation_interval: invalid reservation_interval: time: invalid "
         "duration \"abc\""},
        {"relay:\n  reservation_interval: 0s\n",
         "c.yaml:2: relay.reservation_interval: must be at least 1s"},
        {"relay:\n  reservation_interval: -5m\n",
         "c.yaml:2: relay.reservation_interval: must be at least 1s"},
        {"services: [ssh]\n", "c.yaml:1: services: must be a mapping of keys to values"},
        {"services:\n  ssh: on\n", "c.yaml:2: services.ssh: must be a mapping of keys to values"},
        {"services:\n  ssh:\n    enabled: 3\n",
         "c.yaml:3: services.ssh.enabled: must be true or false, not \"3\""},
        {"names:\n  home:\n    - {a: b}\n", "c.yaml:3: names.home: each item must be a text"},
        {"names:\n  home: {a: b}\n", "c.yaml:2: names.home: must be a list"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        struct config *c = NULL;
        int e = config_parse(mem_system(), "c.yaml", bytes_of_str(ROWS[i].text), &c, &why);
        cr_expect(e == -ERR_CONFIG_INVALID || e == -ERR_MALFORMED, "%s", ROWS[i].text);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_null(c);
    }
}

Test(config, validation_finds_what_a_daemon_cannot_run_with) {
    /* Spec: config.md 3.1, V1 to V8, as decisions 3 and 4 amend them. */
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"", "c.yaml: identity.key_file is required"},
        {"identity: {key_file: k}\n",
         "c.yaml: network.listen_addresses must contain at least one address"},
        {"identity: {key_file: \"\"}\n", "c.yaml:1: identity.key_file is required"},
        {"identity: {key_file: k}\nnetwork: {listen_addresses: []}\n",
         "c.yaml:2: network.listen_addresses must contain at least one address"},
        {ESSENTIAL "discovery: {rendezvous: \"\"}\n", "c.yaml:7: discovery.rendezvous is required"},
        {ESSENTIAL "protocols: {ping_pong: {id: \"\"}}\n",
         "c.yaml:7: protocols.ping_pong.id is required"},
        {"identity: {key_file: k}\nnetwork: {listen_addresses: [/ip4/1.2.3.4/tcp/1]}\n",
         "c.yaml: security.authorized_keys_file is required when connection gating is enabled"},
        {ESSENTIAL "discovery: {network: My_Net}\n",
         "c.yaml:7: discovery.network: invalid network name: \"My_Net\" must be 1-63 lowercase "
         "alphanumeric characters or hyphens, starting and ending with alphanumeric"},
        {ESSENTIAL "services: {SSH: {local_address: \"a:1\"}}\n",
         "c.yaml:7: services: invalid service name: \"SSH\" must be 1-63 lowercase alphanumeric "
         "characters or hyphens, starting and ending with alphanumeric"},
        {ESSENTIAL "services: {\"\": {local_address: \"a:1\"}}\n",
         "c.yaml:7: services: invalid service name: name cannot be empty"},
        {ESSENTIAL "services: {invite: {local_address: \"a:1\"}}\n",
         "c.yaml:7: services: invalid service name: \"invite\" is reserved for a built-in "
         "protocol"},
        {ESSENTIAL "services: {ssh: {local_address: nowhere}}\n",
         "c.yaml:7: services.ssh.local_address: invalid address \"nowhere\": must be host:port: "
         "address nowhere: missing port in address"},
        {"network:\n  listen_addresses:\n    - /ip4/999.1.1.1/tcp/1\n",
         "c.yaml:3: network.listen_addresses: invalid multiaddr \"/ip4/999.1.1.1/tcp/1\""},
        {"relay:\n  addresses:\n    - /ip4/1.2.3.4/tcp/1\n",
         "c.yaml:3: relay.addresses: must end in /p2p/<peer id>: \"/ip4/1.2.3.4/tcp/1\""},
        {"relay:\n  addresses:\n    - /p2p/" PEER_A "\n",
         "c.yaml:3: relay.addresses: has no address before /p2p: \"/p2p/" PEER_A "\""},
        {"protocols: {ping_pong: {id: ping}}\n",
         "c.yaml:1: protocols.ping_pong.id: invalid protocol ID \"ping\": must begin with /"},
        {"telemetry: {metrics: {listen_address: here}}\n",
         "c.yaml:1: telemetry.metrics.listen_address: invalid address \"here\": must be "
         "host:port: address here: missing port in address"},
        {"network: {stun_servers: [a]}\n",
         "c.yaml:1: network.stun_servers: invalid address \"a\": must be host:port: address a: "
         "missing port in address"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        SCOPED(config_freep) struct config *c = NULL;
        int e = config_parse(mem_system(), "c.yaml", bytes_of_str(ROWS[i].text), &c, &why);
        cr_assert(e == 0, "row %zu must load: %s", i, why.text);
        cr_expect_eq(config_check(c, &why), -ERR_CONFIG_INVALID, "row %zu", i);
        cr_expect_str_eq(why.text, ROWS[i].problem);
    }
}

Test(config, gating_may_be_off_without_a_list) {
    SCOPED(config_freep)
    struct config *c = parse("identity: {key_file: k}\n"
                             "network: {listen_addresses: [/ip4/1.2.3.4/tcp/1]}\n"
                             "security: {enable_connection_gating: false}\n");
    cr_expect_eq(config_check(c, NULL), 0);
    cr_expect_null(c->security.authorized_keys_file);
}

Test(config, what_does_not_matter_is_a_warning_with_its_line) {
    static const struct {
        const char *text;
        const char *warning;
    } ROWS[] = {
        {"relais: {}\n",
         "c.yaml:7: unknown key \"relais\" is ignored; the nearest known key is \"relay\""},
        {"relay:\n  adresses: []\n", "c.yaml:8: unknown key \"relay.adresses\" is ignored; the "
                                     "nearest known key is \"relay.addresses\""},
        {"listen_addresses: []\n", "c.yaml:7: unknown key \"listen_addresses\" is ignored; the "
                                   "nearest known key is \"network.listen_addresses\""},
        {"network.listen_addresses: []\n",
         "c.yaml:7: unknown key \"network.listen_addresses\" is ignored; the nearest known key is "
         "\"network.listen_addresses\""},
        {"services.<name>.enabled: true\n",
         "c.yaml:7: unknown key \"services.<name>.enabled\" is ignored; the nearest known key is "
         "\"services.<name>.enabled\""},
        {"services:\n  ssh:\n    enable: true\n    local_address: \"a:1\"\n",
         "c.yaml:9: unknown key \"services.ssh.enable\" is ignored; the nearest known key is "
         "\"services.<name>.enabled\""},
        {"services:\n  ssh:\n    enabled: true\n",
         "c.yaml:8: services.ssh: has no usable local_address and is not offered"},
        {"services:\n  ssh:\n    local_address: \"a:1\"\n    allowed_peers:\n      - nobody\n",
         "c.yaml:11: services.ssh.allowed_peers: invalid peer ID \"nobody\""},
        {"names:\n  home: nobody\n", "c.yaml:8: names.home: failed to parse peer ID: \"nobody\""},
        {"names:\n  home: /ip4/1.2.3.4/tcp/1\n",
         "c.yaml:8: names.home: the address must end in /p2p/<peer id>: \"/ip4/1.2.3.4/tcp/1\""},
        {"names:\n  home: [/ip4/1.1.1.1/tcp/1/p2p/" PEER_A ", /ip4/1.1.1.1/tcp/1/p2p/" PEER_B "]\n",
         "c.yaml:8: names.home: the addresses belong to different peers: "
         "\"/ip4/1.1.1.1/tcp/1/p2p/" PEER_B "\""},
        {"names:\n  home: /ip4/300.1.1.1\n",
         "c.yaml:8: names.home: invalid multiaddr \"/ip4/300.1.1.1\""},
        {"names:\n  home: []\n", "c.yaml:8: names.home: no peer ID and no address is given"},
        {"discovery:\n  bootstrap_peers: [/bad]\n",
         "c.yaml:8: discovery.bootstrap_peers: invalid multiaddr \"/bad\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        SCOPED(strbuf_free) struct strbuf text = STRBUF_INIT(4096);
        struct problem why = PROBLEM_INIT;
        SCOPED(config_freep) struct config *c = NULL;
        strbuf_addf(&text, "%s%s", ESSENTIAL, ROWS[i].text);
        int e = config_parse(mem_system(), "c.yaml", strbuf_bytes(&text), &c, &why);
        cr_assert(e == 0, "row %zu: %s", i, why.text);
        cr_expect_eq(config_check(c, &why), 0, "row %zu: %s", i, why.text);
        const struct config_finding *f = c->base.findings;
        while (f->next != NULL && strcmp(f->text, ROWS[i].warning) != 0)
            f = f->next;
        cr_expect_str_eq(f->text, ROWS[i].warning);
        cr_expect_eq(count_findings(c, false), 2, "row %zu: and that no relay is configured", i);
    }
}

Test(config, a_list_of_only_invalid_peers_admits_nobody) {
    SCOPED(config_freep)
    struct config *c =
        parse(ESSENTIAL "services: {ssh: {local_address: \"a:1\", allowed_peers: [x, y]}}\n");
    cr_expect(c->services[0].allowed_peers.is_set);
    cr_expect_eq(c->services[0].allowed_peers.count, 0);
}

Test(config, an_empty_value_leaves_the_default) {
    SCOPED(config_freep)
    struct config *c = parse(ESSENTIAL "relay:\n"
                                       "discovery:\n"
                                       "  rendezvous:\n"
                                       "services:\n"
                                       "names:\n"
                                       "version: 0\n");
    cr_expect_eq(config_check(c, NULL), 0);
    cr_expect_str_eq(c->discovery.rendezvous, "peerup-default-network");
    cr_expect_eq(c->version, 1);
}

Test(config, every_allocation_may_fail) {
    static const char TEXT[] =
        ESSENTIAL "unknown: 1\nservices: {ssh: {local_address: \"a:1\", allowed_peers: [x]}}\n"
                  "names: {a: b, c: [" PEER_A "]}\n";
    int e = -ENOMEM;
    uint32_t n = 0;

    while (e == -ENOMEM) {
        struct failing_mem f = FAILING_MEM_INIT(++n);
        struct config *c = NULL;
        e = config_parse(&f.mem, "dir/c.yaml", bytes_of_str(TEXT), &c, NULL);
        cr_assert(e == 0 || (e == -ENOMEM && c == NULL));
        (void)config_free(c);
    }
    cr_expect_gt(n, 2, "nothing was made to fail");
}

Test(config, show_writes_the_resolved_file_in_the_tables_order) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
    SCOPED(config_freep)
    struct config *c = parse("telemetry: {audit: {enabled: true}}\n"
                             "names: {lab: [/ip4/1.1.1.1/tcp/1/p2p/" PEER_B "], home: " PEER_A "}\n"
                             "services:\n"
                             "  web: {enabled: false, local_address: \"localhost:80\"}\n"
                             "  ssh: {enabled: true, local_address: \"localhost:22\", protocol: p, "
                             "allowed_peers: [" PEER_A "]}\n"
                             "discovery: {network: crew}\n"
                             "relay: {reservation_interval: 120s}\n" ESSENTIAL);

    schema_show(&CONFIG_SCHEMA, &c->base, &out);
    cr_expect_str_eq(strbuf_text(&out), "version: 1\n"
                                        "identity:\n"
                                        "    key_file: /etc/peerup/identity.key\n"
                                        "network:\n"
                                        "    listen_addresses:\n"
                                        "        - /ip4/0.0.0.0/udp/0/quic-v1\n"
                                        "    force_private_reachability: false\n"
                                        "    resource_limits_enabled: false\n"
                                        "relay:\n"
                                        "    addresses: []\n"
                                        "    reservation_interval: 2m0s\n"
                                        "discovery:\n"
                                        "    rendezvous: peerup-default-network\n"
                                        "    network: crew\n"
                                        "    bootstrap_peers: []\n"
                                        "security:\n"
                                        "    authorized_keys_file: /etc/peerup/authorized_keys\n"
                                        "    enable_connection_gating: true\n"
                                        "protocols:\n"
                                        "    ping_pong:\n"
                                        "        enabled: true\n"
                                        "        id: /pingpong/1.0.0\n"
                                        "services:\n"
                                        "    ssh:\n"
                                        "        enabled: true\n"
                                        "        local_address: localhost:22\n"
                                        "        protocol: p\n"
                                        "        allowed_peers:\n"
                                        "            - " PEER_A "\n"
                                        "    web:\n"
                                        "        enabled: false\n"
                                        "        local_address: localhost:80\n"
                                        "names:\n"
                                        "    home: " PEER_A "\n"
                                        "    lab: /ip4/1.1.1.1/tcp/1/p2p/" PEER_B "\n"
                                        "telemetry:\n"
                                        "    audit:\n"
                                        "        enabled: true\n");

    /* What is shown is a config again, and the same one. */
    SCOPED(strbuf_free) struct strbuf again = STRBUF_INIT(KIB(64));
    SCOPED(config_freep) struct config *c2 = parse(strbuf_text(&out));
    schema_show(&CONFIG_SCHEMA, &c2->base, &again);
    cr_expect_str_eq(strbuf_text(&again), strbuf_text(&out));
}

Test(config, whatever_was_read_is_shown_as_a_file_that_reads_the_same) {
    SCOPED(strbuf_free) struct strbuf once = STRBUF_INIT(KIB(64));
    SCOPED(strbuf_free) struct strbuf twice = STRBUF_INIT(KIB(64));
    SCOPED(config_freep) struct config *c = parse(EVERY_KEY);

    schema_show(&CONFIG_SCHEMA, &c->base, &once);
    SCOPED(config_freep) struct config *again = parse(strbuf_text(&once));
    schema_show(&CONFIG_SCHEMA, &again->base, &twice);
    cr_expect_str_eq(strbuf_text(&twice), strbuf_text(&once));
    cr_expect_null(again->base.findings);
    cr_expect_not_null(strstr(strbuf_text(&once), "    stun_servers:\n"
                                                  "        - stun.example.com:3478\n"
                                                  "        - \"[2001:db8::1]:3478\"\n"));
    cr_expect_not_null(strstr(strbuf_text(&once), "    lab:\n"
                                                  "        - /ip4/1.1.1.1/udp/1/quic-v1/p2p/"));
}

Test(config, the_generated_file_is_valid_and_has_the_keys_of_the_spec) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
    const struct config_generate g = {
        .generator = "peerup init",
        .relay = "/ip4/203.0.113.50/tcp/7777/p2p/" PEER_R,
        .network = "crew",
    };

    config_generate(&g, &out);
    SCOPED(config_freep) struct config *c = parse(strbuf_text(&out));
    cr_expect_eq(config_check(c, NULL), 0);
    cr_expect_null(c->base.findings);
    cr_expect_str_eq(c->identity.key_file, "/etc/peerup/identity.key");
    cr_expect_eq(c->network.listen_addresses.count, 4);
    cr_expect_eq(c->relay.addresses.count, 1);
    cr_expect_str_eq(c->discovery.network, "crew");
    cr_expect(c->security.enable_connection_gating);
    cr_expect_not_null(strstr(strbuf_text(&out), "\nnames: {}\n"));
    cr_expect_not_null(strstr(strbuf_text(&out), "  reservation_interval: \"2m\"\n"));

    strbuf_reset(&out);
    config_generate(&(struct config_generate){.generator = "peerup init"}, &out);
    SCOPED(config_freep) struct config *alone = parse(strbuf_text(&out));
    cr_expect_eq(config_check(alone, NULL), 0);
    cr_expect_null(alone->discovery.network);
    cr_expect_not_null(strstr(strbuf_text(&out), "  addresses: []\n"));
}

Test(config, the_first_file_of_the_search_order_is_taken) {
    struct problem why = PROBLEM_INIT;
    char dir[] = "/tmp/peerup-test-XXXXXX";
    char *path = NULL;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    cr_assert_eq(config_find(mem_system(), NULL, dir, &path, &why), -ERR_CONFIG_NOT_FOUND);
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "config file not found; searched:\n  peerup.yaml\n"
                   "  %s/.config/peerup/config.yaml\n  /etc/peerup/config.yaml\n\n"
                   "Run 'peerup init' to create one, or use --config <path>",
                   dir);
    cr_expect_str_eq(why.text, text);
    cr_expect_eq(config_find(mem_system(), "gone.yaml", dir, &path, &why), -ERR_CONFIG_NOT_FOUND);
    cr_expect_str_eq(why.text, "config file not found: gone.yaml");

    cr_assert(mkdir(".config", 0700) == 0 && mkdir(".config/peerup", 0700) == 0);
    put_file(".config/peerup/config.yaml", ESSENTIAL, 0600);
    cr_assert_eq(config_find(mem_system(), NULL, dir, &path, &why), 0);
    (void)snprintf(text, sizeof(text), "%s/.config/peerup/config.yaml", dir);
    cr_expect_str_eq(path, text);
    path = mem_free(mem_system(), path);
    put_file("peerup.yaml", "broken: [", 0600);
    cr_assert_eq(config_find(mem_system(), NULL, dir, &path, &why), 0);
    cr_expect_str_eq(path, "peerup.yaml", "a broken file is not skipped");
    path = mem_free(mem_system(), path);
    cr_assert_eq(config_find(mem_system(), "/dev/null", dir, &path, &why), 0);
    cr_expect_str_eq(path, "/dev/null");
    (void)mem_free(mem_system(), path);
    remove_tree(dir);
}

Test(config, only_files_that_others_may_write_are_refused) {
    /* Spec: decision 4. */
    struct problem why = PROBLEM_INIT;
    struct config *c = NULL;
    char dir[] = "/tmp/peerup-test-XXXXXX";

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    put_file("c.yaml", ESSENTIAL, 0644);
    cr_assert_eq(config_load(mem_system(), "c.yaml", &c, &why), 0, "%s", why.text);
    cr_expect_str_eq(c->identity.key_file, "identity.key",
                     "beside a file in the working directory");
    c = config_free(c);
    cr_assert_eq(chmod("c.yaml", 0664), 0);
    cr_expect_eq(config_load(mem_system(), "c.yaml", &c, &why), -ERR_FILE_MODE);
    cr_expect_str_eq(why.text,
                     "config file c.yaml has overly permissive mode <0664>; expected 0600 "
                     "- fix with: chmod 600 c.yaml");
    cr_expect_eq(config_load(mem_system(), "none.yaml", &c, &why), -ENOENT);
    cr_expect_eq(config_load(mem_system(), ".", &c, &why), -EISDIR);
    cr_assert_eq(chmod("c.yaml", 0600), 0);
    cr_assert_eq(truncate("c.yaml", CONFIG_BYTES_MAX + 1), 0);
    cr_expect_eq(config_load(mem_system(), "c.yaml", &c, &why), -ERR_LIMIT);
    cr_expect_str_eq(why.text, "config file c.yaml is larger than 1048576 bytes");
    cr_expect_null(c);
    remove_tree(dir);
}

Test(config, a_service_name_is_a_label_that_is_not_taken_by_a_protocol) {
    struct problem why = PROBLEM_INIT;
    cr_expect_eq(config_service_name_check("ssh", &why), 0);
    cr_expect_eq(config_service_name_check("kad", &why), 0);
    cr_expect_eq(config_service_name_check("", &why), -EINVAL);
    cr_expect_str_eq(why.text, "invalid service name: name cannot be empty");
    cr_expect_eq(config_service_name_check("a.b", &why), -EINVAL);
    cr_expect_eq(config_service_name_check("peer-notify", &why), -EINVAL);
    cr_expect_str_eq(why.text,
                     "invalid service name: \"peer-notify\" is reserved for a built-in protocol");
}

Test(relay_config, defaults_are_those_of_the_spec_as_decision_2_amends_them) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    struct problem why = PROBLEM_INIT;
    static const char TEXT[] = "identity: {key_file: relay_node.key}\n"
                               "network: {listen_addresses: [/ip4/0.0.0.0/tcp/7777]}\n"
                               "resources: {max_circuits: 0, session_duration: 10m}\n";

    cr_assert_eq(relay_config_parse(mem_system(), "/srv/r.yaml", BYTES_LIT(TEXT), &c, &why), 0);
    cr_expect_eq(relay_config_check(c, &why), 0, "%s", why.text);
    cr_expect_str_eq(c->identity.key_file, "relay_node.key", "not resolved: see config.md 8");
    cr_expect(!c->security.enable_connection_gating);
    cr_expect_eq(c->resources.max_reservations, 128);
    cr_expect_eq(c->resources.max_circuits, 16, "0 means the default");
    cr_expect_eq(c->resources.buffer_size, 2048);
    cr_expect_eq(c->resources.max_reservations_per_ip, 8);
    cr_expect_eq(c->resources.max_reservations_per_asn, 32);
    cr_expect_eq(c->resources.reservation_ttl_ns, 3600 * INT64_C(1000000000));
    cr_expect_eq(c->resources.session_duration_ns, 600 * INT64_C(1000000000));
    cr_expect_eq(c->resources.session_data_limit, 0, "missing means without limit");
    cr_expect(!c->health.enabled);
    cr_expect_str_eq(c->health.listen_address, "127.0.0.1:9090");
    cr_expect_str_eq(c->telemetry.metrics_listen_address, "127.0.0.1:9091");
}

Test(relay_config, a_file_is_loaded_and_shown) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    struct problem why = PROBLEM_INIT;
    char dir[] = "/tmp/peerup-test-XXXXXX";

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    cr_expect_eq(relay_config_load(mem_system(), "relay-server.yaml", &c, &why), -ENOENT);
    put_file("relay-server.yaml",
             "identity: {key_file: k}\n"
             "network: {listen_addresses: [/ip4/0.0.0.0/tcp/7777]}\n"
             "resources: {session_data_limit: 64mb}\n",
             0600);
    cr_assert_eq(relay_config_load(mem_system(), "relay-server.yaml", &c, &why), 0, "%s", why.text);
    schema_show(&RELAY_CONFIG_SCHEMA, &c->base, &out);
    cr_expect_not_null(strstr(strbuf_text(&out), "    session_data_limit: 64MB\n"));
    cr_expect_not_null(strstr(strbuf_text(&out), "    reservation_ttl: 1h0m0s\n"));
    remove_tree(dir);
}

/* Takes the "# " off the lines of the document that stand for settings. */
static void uncomment(const char *text, struct strbuf *out) {
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        static const char *const SECTIONS[] = {
            "# resources:", "# relay:", "# health:", "# telemetry:", "#   "};
        bool is_setting = false;
        for (size_t i = 0; i < ARRAY_COUNT(SECTIONS); i++)
            is_setting = is_setting || strncmp(line, SECTIONS[i], strlen(SECTIONS[i])) == 0;
        is_setting = is_setting && strncmp(line, "#   - ", 6) != 0; /* items to add elsewhere */
        strbuf_addf(out, "%.*s\n", (int)strcspn(line, "\n") - (is_setting ? 2 : 0),
                    line + (is_setting ? 2 : 0));
    }
}

Test(relay_config, the_generated_file_is_valid_and_its_comments_tell_the_defaults) {
    SCOPED(strbuf_free) struct strbuf text = STRBUF_INIT(KIB(64)), all = STRBUF_INIT(KIB(64));
    SCOPED(strbuf_free) struct strbuf shown = STRBUF_INIT(KIB(64)), plain = STRBUF_INIT(KIB(64));
    SCOPED(relay_config_freep) struct relay_config *c = NULL, *full = NULL;
    struct problem why = PROBLEM_INIT;

    relay_config_generate(&text);
    cr_assert_eq(relay_config_parse(mem_system(), "r.yaml", strbuf_bytes(&text), &c, &why), 0, "%s",
                 why.text);
    cr_assert_eq(relay_config_check(c, &why), 0, "%s", why.text);
    cr_expect_null(c->base.findings);
    cr_expect_str_eq(c->identity.key_file, "relay_node.key");
    cr_expect_str_eq(c->security.authorized_keys_file, "relay_authorized_keys");
    cr_expect(c->security.enable_connection_gating);
    cr_expect_str_eq(c->network.listen_addresses.items[0].text, "/ip4/0.0.0.0/tcp/7777");
    cr_expect_str_eq(c->network.listen_addresses.items[1].text, "/ip6/::/tcp/7777");
    cr_expect_eq(c->network.listen_addresses.count, 4, "QUIC, too");

    uncomment(strbuf_text(&text), &all);
    cr_assert_eq(relay_config_parse(mem_system(), "r.yaml", strbuf_bytes(&all), &full, &why), 0,
                 "%s", why.text);
    cr_expect_null(full->base.findings);
    cr_expect(full->relay.splice && c->relay.splice);
    cr_expect(full->health.enabled);
    cr_expect(full->telemetry.metrics_enabled);
    cr_expect(full->telemetry.audit_enabled);
    cr_expect_eq(memcmp(&full->resources, &c->resources, sizeof(c->resources)), 0);
    cr_expect_str_eq(full->health.listen_address, c->health.listen_address);
    cr_expect_str_eq(full->telemetry.metrics_listen_address, c->telemetry.metrics_listen_address);
    schema_show(&RELAY_CONFIG_SCHEMA, &full->base, &shown);
    schema_show(&RELAY_CONFIG_SCHEMA, &c->base, &plain);
    cr_expect_gt(shown.len, plain.len);
}

Test(relay_config, bad_values_name_file_line_and_key) {
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"version: 9\n", "r.yaml:1: config version too new: version 9 is newer than supported "
                         "version 1; please upgrade relay-server"},
        {"resources:\n  reservation_ttl: x\n",
         "r.yaml:2: resources.reservation_ttl: invalid reservation_ttl: time: invalid duration "
         "\"x\""},
        {"resources:\n  session_data_limit: -1MB\n",
         "r.yaml:2: resources.session_data_limit: data size must be non-negative: -1MB"},
        {"resources:\n  session_data_limit: lots\n",
         "r.yaml:2: resources.session_data_limit: invalid data size \"lots\": not a number"},
        {"resources:\n  max_circuits: -1\n",
         "r.yaml:2: resources.max_circuits: must be at least 0"},
        {"resources:\n  buffer_size: 99999999\n",
         "r.yaml:2: resources.buffer_size: must be at most 1048576"},
        {"security: {enable_connection_gating: true}\n"
         "identity: {key_file: k}\nnetwork: {listen_addresses: [/ip4/0.0.0.0/tcp/1]}\n",
         "r.yaml:1: security.authorized_keys_file is required when connection gating is enabled"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        SCOPED(relay_config_freep) struct relay_config *c = NULL;
        struct problem why = PROBLEM_INIT;
        int e = relay_config_parse(mem_system(), "r.yaml", bytes_of_str(ROWS[i].text), &c, &why);
        if (e == 0)
            e = relay_config_check(c, &why);
        cr_expect_eq(e, -ERR_CONFIG_INVALID, "row %zu", i);
        cr_expect_str_eq(why.text, ROWS[i].problem);
    }
}

static void check_table(const struct config_schema *s) {
    for (size_t i = 0; i < s->options_count; i++) {
        const struct config_option *o = &s->options[i];
        cr_expect(strlen(o->help) > 8 && o->help[strlen(o->help) - 1] == '.', "%s", o->key);
        cr_expect((o->flags & CONFIG_WANTED) == 0 || o->advice != NULL, "%s", o->key);
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(o->key, s->options[k].key);
    }
}

Test(schema, rows_are_complete_and_keys_unique) {
    check_table(&CONFIG_SCHEMA);
    check_table(&RELAY_CONFIG_SCHEMA);
}
