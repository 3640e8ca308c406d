/* SPDX-License-Identifier: MIT */
#include "uring/backend_uring_internal.h"
#include "uring/sock.h"

/* One turn of a busy daemon starts some hundred operations; a full queue is submitted and filled
 * again.  Multishot operations complete often, so completions get eight times the room. */
enum { SQ_ENTRIES = 256, CQ_ENTRIES = SQ_ENTRIES * 8 };

static int ring_try(struct io_uring *ring, unsigned flags) {
    struct io_uring_params params = {.flags = flags, .cq_entries = CQ_ENTRIES};
    return io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
}

int uring_probe_ring(struct io_uring *ring) {
    /* Dropped from the last to the first until the kernel agrees.  R_DISABLED lets the ring be made
     * on one thread and owned by the one that turns the reactor. */
    static const unsigned wished[] = {
        IORING_SETUP_CQSIZE,        IORING_SETUP_R_DISABLED,    IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_NO_SQARRAY,
    };
    unsigned flags = 0;
    for (size_t i = 0; i < ARRAY_COUNT(wished); i++)
        flags |= wished[i];
    size_t i = ARRAY_COUNT(wished);
    for (;;) {
        int error = ring_try(ring, flags);
        if (error != -EINVAL || i == 0)
            return error;
        flags &= ~wished[--i];
    }
}

static bool ring_takes_inc_buffers(struct io_uring *ring) {
    enum { ENTRIES = 8, PROBE_GROUP = UINT16_MAX };
    int error = 0;
    struct io_uring_buf_ring *br =
        io_uring_setup_buf_ring(ring, ENTRIES, PROBE_GROUP, IOU_PBUF_RING_INC, &error);
    if (br == NULL)
        return false;
    (void)io_uring_free_buf_ring(ring, br, ENTRIES, PROBE_GROUP);
    return true;
}

/* A profile may allow making a ring and refuse using it.  A ring that is still disabled answers
 * EBADFD, one made without that flag has nothing to do. */
static int ring_may_be_entered(const struct io_uring *ring) {
    int error = io_uring_enter((unsigned)ring->ring_fd, 0, 0, 0, NULL);
    return error == -EBADFD ? 0 : MIN(error, 0);
}

int uring_probe_features(struct io_uring *ring, struct reactor_features *features) {
    int error = ring_may_be_entered(ring);
    if (error < 0)
        return error;
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL)
        return -ENOSYS;
    /* The last one came with 6.1, our floor, and stands for what cannot be asked: multishot
     * receives, of 6.0.  Nothing here compares versions, so a kernel that has it all ported back
     * will do. */
    static const int needed[] = {
        IORING_OP_ACCEPT,       IORING_OP_CONNECT, IORING_OP_RECV,
        IORING_OP_SENDMSG,      IORING_OP_RECVMSG, IORING_OP_POLL_ADD,
        IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE,   IORING_OP_SENDMSG_ZC,
    };
    bool complete = true;
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++)
        complete = complete && io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    if (!complete)
        return -ENOSYS;

    features->backend = "io_uring";
    features->recv_bundle = (ring->features & IORING_FEAT_RECVSEND_BUNDLE) != 0;
    features->send_bundle = features->recv_bundle;
    features->wait_min_timeout = (ring->features & IORING_FEAT_MIN_TIMEOUT) != 0;
    features->buffer_ring_inc = ring_takes_inc_buffers(ring);
    features->send_zerocopy = true;
    features->multishot_accept = true;
    features->multishot_recv = true;
    features->udp_gso = sock_has_udp_gso();
    features->udp_gro = sock_has_udp_gro();
    return 0;
}
