/* SPDX-License-Identifier: MIT */

/* Goal: what gateways say is understood in the forms that they use, and nothing else of it is.
 * Spec: UPnP Device Architecture 1.0; WANIPConnection:1; RFC 9112. */

#include <stdio.h>

#include "core/base/err.h"
#include "relay/proto/upnp_msg.h"
#include "tests/unit/relay_nat/addrs.h"

static struct upnp_url url(const char *at, const char *path) {
    struct upnp_url u = {.at = naddr(at)};
    (void)snprintf(u.path, sizeof(u.path), "%s", path);
    return u;
}

static void assert_url(const struct upnp_url *got, const char *at, const char *path,
                       const char *what) {
    struct net_addr wanted = naddr(at);
    cr_assert(net_addr_equal(&got->at, &wanted), "%s", what);
    cr_assert_str_eq(got->path, path, "%s", what);
}

/* --- The search ------------------------------------------------------------------------------- */

Test(upnp_msg, a_search_is_for_gateways) {
    char out[UPNP_SEARCH_BYTES_MAX];
    size_t len = upnp_encode_search(out);
    cr_assert_eq(len, strlen(out));
    cr_assert_str_eq(out, "M-SEARCH * HTTP/1.1\r\n"
                          "HOST: 239.255.255.250:1900\r\n"
                          "MAN: \"ssdp:discover\"\r\n"
                          "MX: 1\r\n"
                          "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
                          "\r\n");
}

Test(upnp_msg, answers_name_a_place) {
    static const struct {
        const char *text;
        int error;
        const char *at, *path;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: http://192.168.1.1:5000/root.xml\r\n\r\n", 0,
         "192.168.1.1:5000", "/root.xml"},
        {"HTTP/1.1 200 OK\r\nlocation:http://192.168.1.1/a/b?c=d  \r\n\r\n", 0, "192.168.1.1:80",
         "/a/b?c=d"},
        {"HTTP/1.0 200\r\nLocation: HTTP://192.168.1.1:1\r\n", 0, "192.168.1.1:1", "/"},
        {"HTTP/1.1 200 OK\nLocation: http://192.168.1.1:2/\n\n", 0, "192.168.1.1:2", "/"},
        {"HTTP/1.1 404 Not Found\r\nLocation: http://192.168.1.1/\r\n\r\n", -ERR_MALFORMED, NULL,
         NULL},
        {"NOTIFY * HTTP/1.1\r\nLocation: http://192.168.1.1/\r\n\r\n", -ERR_MALFORMED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nST: x\r\n\r\nLocation: http://192.168.1.1/\r\n", -ERR_MALFORMED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocations: http://192.168.1.1/\r\n\r\n", -ERR_MALFORMED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation:\r\n\r\n", -ERR_MALFORMED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/", -ERR_MALFORMED, NULL, NULL},
        {"HTTP/1.1 200 OK", -ERR_MALFORMED, NULL, NULL},
        {"", -ERR_MALFORMED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: https://192.168.1.1/\r\n\r\n", -ERR_UNSUPPORTED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: /root.xml\r\n\r\n", -ERR_UNSUPPORTED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://router.example/\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://[fe80::1]/\r\n\r\n", -ERR_UNSUPPORTED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://u@192.168.1.1/\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1:0/\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1:65536/\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1:/\r\n\r\n", -ERR_UNSUPPORTED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http:///\r\n\r\n", -ERR_UNSUPPORTED, NULL, NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/a b\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/a\rb\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
        {"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/\xc3\xa4\r\n\r\n", -ERR_UNSUPPORTED, NULL,
         NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct upnp_url got;
        int e = upnp_parse_search_answer(bytes_of_str(rows[i].text), &got);
        cr_assert_eq(e, rows[i].error, "row %zu: %d", i, e);
        if (e == 0)
            assert_url(&got, rows[i].at, rows[i].path, rows[i].text);
    }
}

Test(upnp_msg, a_path_that_is_too_long_is_refused) {
    char text[UPNP_PATH_MAX + 64];
    struct upnp_url got;
    for (int extra = 0; extra < 2; extra++) {
        int at = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/");
        memset(text + at, 'a', UPNP_PATH_MAX);
        (void)snprintf(text + at + UPNP_PATH_MAX - 3 + extra, 5, "\r\n");
        cr_assert_eq(upnp_parse_search_answer(bytes_of_str(text), &got),
                     extra == 0 ? 0 : -ERR_UNSUPPORTED);
    }
    cr_assert_eq(strlen(got.path), UPNP_PATH_MAX - 2);
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static int parse(const char *text, bool is_ended, unsigned *ret_status, struct bytes *ret_body) {
    static uint8_t memory[512];
    size_t len = strlen(text);
    memcpy(memory, text, len);
    return upnp_parse_http(memory, len, is_ended, ret_status, ret_body);
}

#define CHUNKS "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"

Test(upnp_msg, answers_end_by_length_by_chunks_or_by_themselves) {
    static const struct {
        const char *text;
        int error, error_at_end;
        unsigned status;
        const char *body;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 0, 0, 200, "abc"},
        {"HTTP/1.1 500 Oh\r\ncontent-length:0\r\n\r\n", 0, 0, 500, ""},
        {"HTTP/1.1 200 OK\r\n\r\nabc", -EAGAIN, 0, 200, "abc"},
        {CHUNKS "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 0, 0, 200, "abcde"},
        {CHUNKS "A\r\n0123456789\r\n0\r\n", 0, 0, 200, "0123456789"},
        {"", -EAGAIN, -ERR_MALFORMED, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", -EAGAIN, -ERR_MALFORMED, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", -EAGAIN, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "3\r\nabc\r\n", -EAGAIN, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "3\r\nab", -EAGAIN, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "3", -EAGAIN, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "3\r\nabcd\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "x\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
        {CHUNKS "fffffffffffffffff\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0,
         NULL},
        {"HTTP/1.1 2x0 OK\r\n\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
        {"SSH-2.0-dropbear\r\n\r\n", -ERR_MALFORMED, -ERR_MALFORMED, 0, NULL},
    };
    for (size_t i = 0; i < 2 * ARRAY_COUNT(rows); i++) {
        bool is_ended = i % 2 == 1;
        unsigned status = 0;
        struct bytes body = BYTES_EMPTY;
        int e = parse(rows[i / 2].text, is_ended, &status, &body);
        int wanted = is_ended ? rows[i / 2].error_at_end : rows[i / 2].error;
        cr_assert_eq(e, wanted, "row %zu: %d", i / 2, e);
        if (e == 0) {
            cr_assert_eq(status, rows[i / 2].status);
            cr_assert(bytes_equal(body, bytes_of_str(rows[i / 2].body)), "row %zu", i / 2);
        }
    }
}

/* --- The description -------------------------------------------------------------------------- */

#define SERVICE(type, place)                                                        \
    "<service><serviceType>urn:schemas-upnp-org:service:" type "</serviceType>\n"   \
    "<serviceId>x</serviceId><controlURL>" place "</controlURL>\n<eventSubURL>/e</" \
    "eventSubURL></service>"

Test(upnp_msg, the_best_service_is_found) {
    static const struct {
        const char *xml;
        int error;
        enum upnp_service_type type;
        const char *at, *path;
    } rows[] = {
        {SERVICE("WANIPConnection:1", "/ctl"), 0, UPNP_WANIP_1, "10.0.0.1:80", "/ctl"},
        {SERVICE("WANPPPConnection:1", " ctl\n"), 0, UPNP_WANPPP_1, "10.0.0.1:80", "/ctl"},
        {"<?xml version=\"1.0\"?><!-- <service> --><s:root xmlns:s='x'>" SERVICE(
             "Layer3Forwarding:1", "/a") SERVICE("WANPPPConnection:1", "/b")
             SERVICE("WANIPConnection:2", "/c") SERVICE("WANIPConnection:1", "/d") "</s:root>",
         0, UPNP_WANIP_2, "10.0.0.1:80", "/c"},
        {"<s:service a=\"b\"><s:serviceType>urn:schemas-upnp-org:service:WANIPConnection:1"
         "</s:serviceType><s:controlURL >/ctl</s:controlURL></s:service>",
         0, UPNP_WANIP_1, "10.0.0.1:80", "/ctl"},
        {"<URLBase>http://10.0.0.1:49152/</URLBase>" SERVICE("WANIPConnection:1", "up"), 0,
         UPNP_WANIP_1, "10.0.0.1:49152", "/up"},
        {"<URLBase></URLBase>" SERVICE("WANIPConnection:1", "/up"), 0, UPNP_WANIP_1, "10.0.0.1:80",
         "/up"},
        {SERVICE("WANIPConnection:1", "http://10.0.0.9:1/z"), 0, UPNP_WANIP_1, "10.0.0.9:1", "/z"},
        {SERVICE("WANIPConnection:1", ""), -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {SERVICE("WANIPConnection:3", "/ctl"), -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {SERVICE("Layer3Forwarding:1", "/ctl"), -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {"<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>"
         "<controlURL>/ctl</controlURL>",
         -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {"", -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {"<", -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {"<service", -ENOENT, UPNP_WANIP_1, NULL, NULL},
        {SERVICE("WANIPConnection:1", "https://10.0.0.1/"), -ERR_UNSUPPORTED, UPNP_WANIP_1, NULL,
         NULL},
        {SERVICE("WANIPConnection:1", "/a\r\nX: y"), -ERR_UNSUPPORTED, UPNP_WANIP_1, NULL, NULL},
        {"<URLBase>nowhere</URLBase>" SERVICE("WANIPConnection:1", "/up"), -ERR_UNSUPPORTED,
         UPNP_WANIP_1, NULL, NULL},
    };
    struct upnp_url at = url("10.0.0.1:80", "/desc.xml");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct upnp_service got;
        int e = upnp_parse_description(bytes_of_str(rows[i].xml), &at, &got);
        cr_assert_eq(e, rows[i].error, "row %zu: %d", i, e);
        if (e < 0)
            continue;
        cr_assert_eq(got.type, rows[i].type, "row %zu", i);
        assert_url(&got.control, rows[i].at, rows[i].path, rows[i].xml);
    }
}

/* --- Calls ------------------------------------------------------------------------------------ */

Test(upnp_msg, a_document_is_asked_for_on_a_connection_of_its_own) {
    struct upnp_url at = url("10.0.0.1:5000", "/desc.xml");
    char out[UPNP_REQUEST_BYTES_MAX];
    size_t len = upnp_encode_get(&at, out);
    cr_assert_eq(len, strlen(out));
    cr_assert_str_eq(out, "GET /desc.xml HTTP/1.1\r\nHost: 10.0.0.1:5000\r\n"
                          "Connection: close\r\n\r\n");
}

Test(upnp_msg, calls_have_what_the_action_needs) {
    const struct upnp_service s = {.type = UPNP_WANPPP_1, .control = url("10.0.0.1:5000", "/ctl")};
    struct upnp_call call = {.action = UPNP_ADD_MAPPING,
                             .is_tcp = true,
                             .external_port = 4002,
                             .internal_port = 4001,
                             .client = naddr("10.0.0.2"),
                             .lifetime_s = 3600};
    char out[UPNP_REQUEST_BYTES_MAX];
    size_t len = upnp_encode_call(&s, &call, out);
    cr_assert_eq(len, strlen(out));
    const char *body = strstr(out, "\r\n\r\n") + 4;
    char length[64];
    (void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    cr_assert_not_null(strstr(out, length), "%s", out);
    cr_assert_eq(strncmp(out, "POST /ctl HTTP/1.1\r\nHost: 10.0.0.1:5000\r\n", 41), 0, "%s", out);
    cr_assert_not_null(strstr(out, "SOAPAction: \"urn:schemas-upnp-org:service:WANPPPConnection:1"
                                   "#AddPortMapping\"\r\n"));
    cr_assert_not_null(
        strstr(body,
               "<u:AddPortMapping xmlns:u=\"urn:schemas-upnp-org:service:WANPPPConnection:1\">"
               "<NewRemoteHost></NewRemoteHost><NewExternalPort>4002</NewExternalPort>"
               "<NewProtocol>TCP</NewProtocol><NewInternalPort>4001</NewInternalPort>"
               "<NewInternalClient>10.0.0.2</NewInternalClient><NewEnabled>1</NewEnabled>"
               "<NewPortMappingDescription>peerup</NewPortMappingDescription>"
               "<NewLeaseDuration>3600</NewLeaseDuration></u:AddPortMapping>"),
        "%s", body);
    call.action = UPNP_DELETE_MAPPING;
    call.is_tcp = false;
    (void)upnp_encode_call(&s, &call, out);
    cr_assert_not_null(strstr(out, ":1\"><NewRemoteHost></NewRemoteHost><NewExternalPort>4002"
                                   "</NewExternalPort><NewProtocol>UDP</NewProtocol>"
                                   "</u:DeletePortMapping>"));
    call.action = UPNP_GET_EXTERNAL_ADDRESS;
    (void)upnp_encode_call(&s, &call, out);
    cr_assert_not_null(strstr(out, ":1\"></u:GetExternalIPAddress>"), "%s", out);
}

/* The longest path and the largest numbers. */
Test(upnp_msg, every_request_has_room) {
    struct upnp_service s = {.type = UPNP_WANPPP_1, .control = url("255.255.255.255:65535", "/")};
    const struct upnp_call call = {.action = UPNP_ADD_MAPPING,
                                   .external_port = UINT16_MAX,
                                   .internal_port = UINT16_MAX,
                                   .client = naddr("255.255.255.255"),
                                   .lifetime_s = UINT32_MAX};
    char out[UPNP_REQUEST_BYTES_MAX];
    memset(s.control.path, 'a', UPNP_PATH_MAX - 1);
    s.control.path[UPNP_PATH_MAX - 1] = '\0';
    cr_assert_lt(upnp_encode_call(&s, &call, out), UPNP_REQUEST_BYTES_MAX);
}

Test(upnp_msg, answers_have_an_address_or_a_fault) {
    static const struct {
        const char *text, *ip; /* NULL: none */
    } rows[] = {
        {"<a><NewExternalIPAddress>8.8.8.8</NewExternalIPAddress></a>", "8.8.8.8"},
        {"<u:NewExternalIPAddress> 100.64.0.1\n</u:NewExternalIPAddress>", "100.64.0.1"},
        {"<NewExternalIPAddress></NewExternalIPAddress>", NULL},
        {"<NewExternalIPAddress/>", NULL},
        {"<NewExternalIPAddress>0.0.0.0</NewExternalIPAddress>", NULL},
        {"<NewExternalIPAddress>2001:db8::1</NewExternalIPAddress>", NULL},
        {"<NewExternalIPAddress>8.8.8.8", NULL},
        {"<NewExternalIPAddress>"
         "88888888888888888888888888888888888888888888888888888888888888888888"
         "</NewExternalIPAddress>",
         NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_addr got;
        int e = upnp_parse_external_address(bytes_of_str(rows[i].text), &got);
        cr_assert_eq(e, rows[i].ip == NULL ? -ERR_MALFORMED : 0, "row %zu", i);
        if (e < 0)
            continue;
        struct net_addr wanted = naddr(rows[i].ip);
        cr_assert(net_addr_equal(&got, &wanted));
    }
    cr_assert_eq(upnp_parse_fault(BYTES_LIT("<errorCode>718</errorCode>")), 718);
    cr_assert_eq(upnp_parse_fault(BYTES_LIT("<errorCode>-1</errorCode>")), 0);
    cr_assert_eq(upnp_parse_fault(BYTES_LIT("<errorCode>1000</errorCode>")), 0);
    cr_assert_eq(upnp_parse_fault(BYTES_LIT("no fault")), 0);
}
