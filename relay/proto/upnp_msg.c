/* SPDX-License-Identifier: MIT */
#include "relay/proto/upnp_msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "core/base/err.h"

#define SEARCH_TARGET "urn:schemas-upnp-org:device:InternetGatewayDevice:1"

const struct net_addr UPNP_SEARCH_GROUP = {
    .family = NET_IP4, .ip = {239, 255, 255, 250}, .port = UPNP_SEARCH_PORT};

static const char *const service_names[] = {
    [UPNP_WANIP_2] = "urn:schemas-upnp-org:service:WANIPConnection:2",
    [UPNP_WANIP_1] = "urn:schemas-upnp-org:service:WANIPConnection:1",
    [UPNP_WANPPP_1] = "urn:schemas-upnp-org:service:WANPPPConnection:1",
};

/* --- Text ------------------------------------------------------------------------------------- */

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trim(struct bytes b) {
    while (b.len > 0 && is_space(b.data[0]))
        b = bytes_skip(b, 1);
    while (b.len > 0 && is_space(b.data[b.len - 1]))
        b.len--;
    return b;
}

static bool is_text(struct bytes b, const char *text) {
    return bytes_equal(b, bytes_of_str(text));
}

static bool begins_with_any_case(struct bytes b, const char *prefix) {
    size_t len = strlen(prefix);
    return b.len >= len && strncasecmp((const char *)b.data, prefix, len) == 0;
}

/* Decimal, in full; -1: none, or above `max`. */
static int64_t parse_number(struct bytes b, int64_t max) {
    int64_t n = 0;
    if (b.len == 0)
        return -1;
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] < '0' || b.data[i] > '9')
            return -1;
        n = n * 10 + (b.data[i] - '0');
        if (n > max)
            return -1;
    }
    return n;
}

/* The line in front, without its end; false when none is whole. */
static bool next_line(struct bytes *left, struct bytes *ret_line) {
    const uint8_t *end = left->len == 0 ? NULL : memchr(left->data, '\n', left->len);
    if (end == NULL)
        return false;
    size_t len = (size_t)(end - left->data);
    *ret_line = bytes_of(left->data, len);
    if (len > 0 && ret_line->data[len - 1] == '\r')
        ret_line->len--;
    *left = bytes_skip(*left, len + 1);
    return true;
}

/* The value of a header; false when the line is another one. */
static bool is_header(struct bytes line, const char *name, struct bytes *ret_value) {
    size_t len = strlen(name);
    if (!begins_with_any_case(line, name) || line.len == len || line.data[len] != ':')
        return false;
    *ret_value = trim(bytes_skip(line, len + 1));
    return true;
}

/* "HTTP/1.1 200 OK"; -1: it is none. */
static int64_t parse_status(struct bytes line) {
    if (!begins_with_any_case(line, "HTTP/1.") || line.len < 12 || line.data[8] != ' ')
        return -1;
    return parse_number(bytes_of(line.data + 9, 3), 999);
}

/* --- Places ----------------------------------------------------------------------------------- */

static int take_path(struct bytes path, struct upnp_url *url) {
    bool is_whole = path.len > 0 && path.data[0] == '/';
    size_t at = 0;
    if (path.len + 2 > UPNP_PATH_MAX)
        return -ERR_UNSUPPORTED;
    if (!is_whole)
        url->path[at++] = '/';
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] <= ' ' || path.data[i] >= 0x7f)
            return -ERR_UNSUPPORTED; /* it goes into a request's first line */
        url->path[at++] = (char)path.data[i];
    }
    url->path[at] = '\0';
    return 0;
}

static int take_host(struct bytes host, struct upnp_url *url) {
    char text[NET_ADDR_TEXT_MAX];
    int64_t port = 80;
    const uint8_t *colon = host.len == 0 ? NULL : memchr(host.data, ':', host.len);
    if (colon != NULL) {
        size_t len = (size_t)(colon - host.data);
        port = parse_number(bytes_skip(host, len + 1), 65535);
        host.len = len;
    }
    if (port <= 0 || host.len >= sizeof(text))
        return -ERR_UNSUPPORTED;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    if (net_addr_parse_ip(text, &url->at) < 0 || url->at.family != NET_IP4)
        return -ERR_UNSUPPORTED;
    url->at.port = (uint16_t)port;
    return 0;
}

/* Without `base` it must be whole. */
static int parse_url(struct bytes text, const struct upnp_url *base, struct upnp_url *ret_url) {
    struct upnp_url url = {.path = "/"};
    if (!begins_with_any_case(text, "http://")) {
        if (base == NULL || memchr(text.data, ':', text.len) != NULL)
            return -ERR_UNSUPPORTED;
        *ret_url = *base;
        return take_path(text, ret_url);
    }
    text = bytes_skip(text, 7);
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);
    size_t host_len = slash == NULL ? text.len : (size_t)(slash - text.data);
    int e = take_host(bytes_of(text.data, host_len), &url);
    if (e == 0)
        e = take_path(bytes_skip(text, host_len), &url);
    if (e == 0)
        *ret_url = url;
    return e;
}

/* --- The search ------------------------------------------------------------------------------- */

size_t upnp_encode_search(char ret_out[UPNP_SEARCH_BYTES_MAX]) {
    int len = snprintf(ret_out, UPNP_SEARCH_BYTES_MAX,
                       "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:%d\r\n"
                       "MAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " SEARCH_TARGET "\r\n\r\n",
                       UPNP_SEARCH_PORT);
    assert(len > 0 && len < UPNP_SEARCH_BYTES_MAX);
    return (size_t)len;
}

int upnp_parse_search_answer(struct bytes datagram, struct upnp_url *ret_url) {
    struct bytes line, value;
    if (!next_line(&datagram, &line) || parse_status(line) != 200)
        return -ERR_MALFORMED;
    while (next_line(&datagram, &line) && line.len > 0) {
        if (is_header(line, "LOCATION", &value))
            return value.len == 0 ? -ERR_MALFORMED : parse_url(value, NULL, ret_url);
    }
    return -ERR_MALFORMED;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static size_t PRINTF(2, 3) format_request(char *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, UPNP_REQUEST_BYTES_MAX, format, args);
    va_end(args);
    assert(len > 0 && len < UPNP_REQUEST_BYTES_MAX); /* paths and names have their bounds */
    return (size_t)len;
}

size_t upnp_encode_get(const struct upnp_url *url, char ret_out[UPNP_REQUEST_BYTES_MAX]) {
    char host[NET_ADDR_TEXT_MAX];
    return format_request(ret_out, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                          url->path, net_addr_format(&url->at, host));
}

struct http_head {
    int64_t status;
    int64_t length; /* -1: not said */
    bool is_chunked;
};

/* Leaves what follows the head.  -EAGAIN, -ERR_MALFORMED */
static int parse_head(struct bytes *left, struct http_head *ret_head) {
    struct bytes line, value;
    struct http_head head = {.length = -1};
    if (!next_line(left, &line))
        return -EAGAIN;
    head.status = parse_status(line);
    if (head.status < 0)
        return -ERR_MALFORMED;
    for (;;) {
        if (!next_line(left, &line))
            return -EAGAIN;
        if (line.len == 0)
            break;
        if (is_header(line, "Content-Length", &value) &&
            (head.length = parse_number(value, UPNP_ANSWER_BYTES_MAX)) < 0)
            return -ERR_MALFORMED;
        if (is_header(line, "Transfer-Encoding", &value))
            head.is_chunked = begins_with_any_case(value, "chunked");
    }
    *ret_head = head;
    return 0;
}

/* "1a2;name=value"; -1: it is none, or too much. */
static int64_t parse_chunk_size(struct bytes line) {
    int64_t n = 0;
    size_t i = 0;
    for (; i < line.len && line.data[i] != ';' && !is_space(line.data[i]); i++) {
        uint8_t c = line.data[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0 || (n = n * 16 + digit) > UPNP_ANSWER_BYTES_MAX)
            return -1;
    }
    return i == 0 ? -1 : n;
}

/* Whether all chunks are there; their bytes in all.  With `out` they are moved there, which lies
 * before them. */
static int walk_chunks(struct bytes left, uint8_t *out, size_t *ret_len) {
    struct bytes line;
    size_t len = 0;
    for (;;) {
        if (!next_line(&left, &line))
            return -EAGAIN;
        int64_t size = parse_chunk_size(line);
        if (size < 0)
            return -ERR_MALFORMED;
        if (size == 0)
            break; /* what may follow is for nobody */
        if (left.len < (size_t)size + 1)
            return -EAGAIN;
        if (out != NULL)
            memmove(out + len, left.data, (size_t)size);
        len += (size_t)size;
        left = bytes_skip(left, (size_t)size);
        if (!next_line(&left, &line))
            return -EAGAIN;
        if (line.len > 0)
            return -ERR_MALFORMED;
    }
    *ret_len = len;
    return 0;
}

static int parse_body(uint8_t *data, size_t len, bool is_ended, const struct http_head *head,
                      struct bytes *ret_body) {
    size_t body_len = len;
    if (head->is_chunked) {
        int e = walk_chunks(bytes_of(data, len), NULL, &body_len);
        if (e < 0)
            return e;
        (void)walk_chunks(bytes_of(data, len), data, &body_len);
    } else if (head->length >= 0) {
        if (len < (size_t)head->length)
            return -EAGAIN;
        body_len = (size_t)head->length;
    } else if (!is_ended) {
        return -EAGAIN;
    }
    *ret_body = bytes_of(data, body_len);
    return 0;
}

int upnp_parse_http(uint8_t *data, size_t len, bool is_ended, unsigned *ret_status,
                    struct bytes *ret_body) {
    struct bytes left = bytes_of(data, len);
    struct http_head head;
    int e = parse_head(&left, &head);
    if (e == 0)
        e = parse_body(data + (len - left.len), left.len, is_ended, &head, ret_body);
    if (e == 0)
        *ret_status = (unsigned)head.status;
    return e == -EAGAIN && is_ended ? -ERR_MALFORMED : e;
}

/* --- XML -------------------------------------------------------------------------------------- */

/* A tag, and the text before it.  Enough for documents without attributes that matter; comments and
 * declarations are tags of a name that nobody asks for. */
struct tag {
    struct bytes name; /* without a namespace's prefix */
    struct bytes text;
    bool is_end;
};

static bool next_tag(struct bytes *left, struct tag *ret_tag) {
    const uint8_t *open = left->len == 0 ? NULL : memchr(left->data, '<', left->len);
    if (open == NULL)
        return false;
    ret_tag->text = trim(bytes_of(left->data, (size_t)(open - left->data)));
    struct bytes b = bytes_skip(*left, (size_t)(open - left->data) + 1);
    const uint8_t *close = b.len == 0 ? NULL : memchr(b.data, '>', b.len);
    if (close == NULL)
        return false;
    *left = bytes_skip(b, (size_t)(close - b.data) + 1);
    b.len = (size_t)(close - b.data);
    ret_tag->is_end = b.len > 0 && b.data[0] == '/';
    if (ret_tag->is_end)
        b = bytes_skip(b, 1);
    size_t len = 0;
    while (len < b.len && !is_space(b.data[len]) && b.data[len] != '/')
        len++;
    b.len = len;
    const uint8_t *colon = len == 0 ? NULL : memchr(b.data, ':', len);
    ret_tag->name = colon == NULL ? b : bytes_skip(b, (size_t)(colon - b.data) + 1);
    return true;
}

/* The text of the first element of this name. */
static bool find_text(struct bytes xml, const char *name, struct bytes *ret_text) {
    struct tag tag;
    while (next_tag(&xml, &tag)) {
        if (tag.is_end && is_text(tag.name, name)) {
            *ret_text = tag.text;
            return true;
        }
    }
    return false;
}

/* --- The description -------------------------------------------------------------------------- */

static int service_type_of(struct bytes text) {
    for (int i = 0; i < (int)ARRAY_COUNT(service_names); i++) {
        if (is_text(text, service_names[i]))
            return i;
    }
    return -1;
}

int upnp_parse_description(struct bytes xml, const struct upnp_url *at,
                           struct upnp_service *ret_service) {
    struct bytes left = xml, base_text, control = BYTES_EMPTY, found = BYTES_EMPTY;
    struct upnp_url base = *at;
    struct tag tag;
    int type = -1, best = -1;
    while (next_tag(&left, &tag)) {
        if (is_text(tag.name, "service") && !tag.is_end) {
            type = -1;
            control = BYTES_EMPTY;
        } else if (is_text(tag.name, "serviceType") && tag.is_end) {
            type = service_type_of(tag.text);
        } else if (is_text(tag.name, "controlURL") && tag.is_end) {
            control = tag.text;
        } else if (is_text(tag.name, "service") && type >= 0 && control.len > 0 &&
                   (best < 0 || type < best)) {
            best = type;
            found = control;
        }
    }
    if (best < 0)
        return -ENOENT;
    if (find_text(xml, "URLBase", &base_text) && base_text.len > 0) {
        int e = parse_url(base_text, NULL, &base);
        if (e < 0)
            return e;
    }
    ret_service->type = (enum upnp_service_type)best;
    return parse_url(found, &base, &ret_service->control);
}

/* --- Calls ------------------------------------------------------------------------------------ */

enum { ARGUMENTS_MAX = 640 };

static const char *const action_names[] = {
    [UPNP_GET_EXTERNAL_ADDRESS] = "GetExternalIPAddress",
    [UPNP_ADD_MAPPING] = "AddPortMapping",
    [UPNP_DELETE_MAPPING] = "DeletePortMapping",
};

static void format_arguments(const struct upnp_call *c, char out[ARGUMENTS_MAX]) {
    char client[NET_ADDR_TEXT_MAX];
    const char *protocol = c->is_tcp ? "TCP" : "UDP";
    out[0] = '\0';
    if (c->action == UPNP_DELETE_MAPPING)
        (void)snprintf(out, ARGUMENTS_MAX,
                       "<NewRemoteHost></NewRemoteHost><NewExternalPort>%u</NewExternalPort>"
                       "<NewProtocol>%s</NewProtocol>",
                       c->external_port, protocol);
    else if (c->action == UPNP_ADD_MAPPING)
        (void)snprintf(out, ARGUMENTS_MAX,
                       "<NewRemoteHost></NewRemoteHost><NewExternalPort>%u</NewExternalPort>"
                       "<NewProtocol>%s</NewProtocol><NewInternalPort>%u</NewInternalPort>"
                       "<NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled>"
                       "<NewPortMappingDescription>peerup</NewPortMappingDescription>"
                       "<NewLeaseDuration>%u</NewLeaseDuration>",
                       c->external_port, protocol, c->internal_port,
                       net_addr_format_ip(&c->client, client), c->lifetime_s);
}

size_t upnp_encode_call(const struct upnp_service *s, const struct upnp_call *call,
                        char ret_out[UPNP_REQUEST_BYTES_MAX]) {
    char arguments[ARGUMENTS_MAX], body[UPNP_REQUEST_BYTES_MAX], host[NET_ADDR_TEXT_MAX];
    const char *service = service_names[s->type], *action = action_names[call->action];
    format_arguments(call, arguments);
    size_t len =
        format_request(body,
                       "<?xml version=\"1.0\"?>\r\n"
                       "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
                       "s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
                       "<u:%s xmlns:u=\"%s\">%s</u:%s></s:Body></s:Envelope>\r\n",
                       action, service, arguments, action);
    return format_request(ret_out,
                          "POST %s HTTP/1.1\r\nHost: %s\r\n"
                          "Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"%s#%s\"\r\n"
                          "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                          s->control.path, net_addr_format(&s->control.at, host), service, action,
                          len, body);
}

int upnp_parse_external_address(struct bytes body, struct net_addr *ret_ip) {
    struct bytes text;
    char ip[NET_ADDR_TEXT_MAX];
    struct net_addr a;
    if (!find_text(body, "NewExternalIPAddress", &text) || text.len >= sizeof(ip))
        return -ERR_MALFORMED;
    memcpy(ip, text.data, text.len);
    ip[text.len] = '\0';
    if (net_addr_parse_ip(ip, &a) < 0 || a.family != NET_IP4 || net_addr_is_unspecified(&a))
        return -ERR_MALFORMED;
    *ret_ip = a;
    return 0;
}

unsigned upnp_parse_fault(struct bytes body) {
    struct bytes text;
    if (!find_text(body, "errorCode", &text))
        return 0;
    int64_t n = parse_number(text, 999);
    return n < 0 ? 0 : (unsigned)n;
}
