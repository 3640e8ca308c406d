/* SPDX-License-Identifier: MIT */
#include "bench/emulator/packet_log.h"

#include <inttypes.h>
#include <netinet/in.h>

const char *const packet_fate_names[LANE_FATES] = {
    [LANE_SENT] = "sent", [LANE_REORDERED] = "reordered",   [LANE_DUPLICATED] = "duplicated",
    [LANE_LOST] = "lost", [LANE_OVERFLOWED] = "overflowed",
};

enum {
    IPV4_HEADER_BYTES = 20,
    IPV6_HEADER_BYTES = 40,
    UDP_HEADER_BYTES = 8,
    TCP_HEADER_BYTES = 20,
    TCP_OFFSET_AT = 12,
    TCP_FLAGS_AT = 13,
};

struct view {
    int protocol;
    unsigned source, destination;
    size_t payload;
    char flags[6];
};

static unsigned be16(const uint8_t *at) {
    return (unsigned)at[0] << 8 | at[1];
}

static void view_tcp(struct view *v, const uint8_t *tcp, size_t bytes) {
    static const struct {
        uint8_t bit;
        char name;
    } flags[] = {{0x02, 'S'}, {0x01, 'F'}, {0x04, 'R'}, {0x08, 'P'}, {0x10, 'A'}};
    size_t header = (size_t)(tcp[TCP_OFFSET_AT] >> 4) * 4;
    v->payload = bytes > header ? bytes - header : 0;
    size_t count = 0;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (tcp[TCP_FLAGS_AT] & flags[i].bit)
            v->flags[count++] = flags[i].name;
    v->flags[count] = '\0';
}

static struct view view_packet(const uint8_t *packet, size_t bytes) {
    struct view v = {.protocol = -1, .flags = "-"};
    size_t header;
    if (bytes >= IPV4_HEADER_BYTES && packet[0] >> 4 == 4) {
        v.protocol = packet[9];
        header = (size_t)(packet[0] & 15) * 4;
    } else if (bytes >= IPV6_HEADER_BYTES && packet[0] >> 4 == 6) {
        v.protocol = packet[6];
        header = IPV6_HEADER_BYTES;
    } else {
        return v;
    }
    const uint8_t *transport = packet + header;
    size_t rest = bytes > header ? bytes - header : 0;
    if (v.protocol == IPPROTO_UDP && rest >= UDP_HEADER_BYTES)
        v.payload = rest - UDP_HEADER_BYTES;
    else if (v.protocol == IPPROTO_TCP && rest >= TCP_HEADER_BYTES)
        view_tcp(&v, transport, rest);
    else
        return v;
    v.source = be16(transport);
    v.destination = be16(transport + 2);
    return v;
}

void packet_log_write(FILE *log, char from, enum lane_fate fate, nsec_t in, nsec_t out,
                      const uint8_t *packet, size_t bytes) {
    struct view v = view_packet(packet, bytes);
    char number[12];
    (void)snprintf(number, sizeof(number), "%d", v.protocol);
    const char *protocol = v.protocol == IPPROTO_TCP   ? "tcp"
                           : v.protocol == IPPROTO_UDP ? "udp"
                                                       : number;
    (void)fprintf(log, "%" PRId64 " %" PRId64 " %c %s %s %u %u %zu %zu %s\n", in, out, from,
                  packet_fate_names[fate], protocol, v.source, v.destination, bytes, v.payload,
                  v.flags);
}
