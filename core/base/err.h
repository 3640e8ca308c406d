/* SPDX-License-Identifier: MIT */
#pragma once

/* Error codes.  Functions return 0 or a negative code: up to 4095 they are errno, ours start at
 * 4097.  This table makes the enum, the texts, the REST answers, the exit codes and the list in
 * docs/errors.md.
 *
 *  ERR(name, number, HTTP status, exit code, sentence)
 */

#define ERR_TABLE(ERR)                                                                       \
    ERR(TRUNCATED, 4097, 400, 1, "the input ends too early")                                 \
    ERR(MALFORMED, 4098, 400, 1, "the input is malformed")                                   \
    ERR(LIMIT, 4099, 400, 1, "a size limit was exceeded")                                    \
    ERR(UNSUPPORTED, 4100, 400, 1, "not supported")                                          \
    ERR(BAD_PEER_ID, 4101, 400, 1, "failed to parse peer ID")                                \
    ERR(BAD_MULTIADDR, 4102, 400, 1, "invalid multiaddr")                                    \
    ERR(BAD_KEY, 4103, 500, 1, "invalid key")                                                \
    ERR(BAD_SIGNATURE, 4104, 400, 1, "signature does not verify")                            \
    ERR(BAD_CERTIFICATE, 4105, 502, 1, "the peer's certificate is not acceptable")           \
    ERR(PEER_ID_MISMATCH, 4106, 502, 1, "the peer is not the one that was expected")         \
    ERR(CRYPTO, 4107, 500, 1, "a cryptographic operation failed")                            \
    ERR(HANDSHAKE, 4108, 502, 1, "the handshake failed")                                     \
    ERR(NOT_AUTHORIZED, 4109, 403, 1, "the peer is not authorized")                          \
    ERR(PROTOCOL_NOT_SUPPORTED, 4110, 502, 1, "protocols not supported")                     \
    ERR(PROTOCOL_VIOLATION, 4111, 502, 1, "the peer broke the protocol")                     \
    ERR(RESOURCE_LIMIT, 4112, 503, 1, "a resource limit is reached")                         \
    ERR(NO_ADDRESSES, 4113, 502, 1, "no address is known for the peer")                      \
    ERR(NAME_NOT_FOUND, 4114, 404, 1, "name not found")                                      \
    ERR(SERVICE_EXISTS, 4115, 500, 1, "service already registered")                          \
    ERR(SERVICE_NOT_FOUND, 4116, 404, 1, "service not found")                                \
    ERR(CONFIG_NOT_FOUND, 4117, 500, 1, "config file not found")                             \
    ERR(CONFIG_INVALID, 4118, 500, 1, "the config is invalid")                               \
    ERR(FILE_MODE, 4119, 500, 1, "the file's mode is too open")                              \
    ERR(PEER_EXISTS, 4120, 500, 1, "peer already authorized")                                \
    ERR(PEER_NOT_FOUND, 4121, 500, 1, "peer not found")                                      \
    ERR(STREAM_RESET, 4122, 502, 1, "the peer reset the stream")                             \
    ERR(CONN_CLOSED, 4123, 502, 1, "the connection was closed by the peer")                  \
    ERR(GATED, 4124, 502, 1, "the peer refused the connection: we are not authorized there") \
    ERR(SHUTDOWN, 4125, 503, 1, "shutting down")                                             \
    ERR(DAEMON_RUNNING, 4126, 500, 1, "a daemon is already running")                         \
    ERR(DAEMON_NOT_RUNNING, 4127, 500, 1, "daemon not running")                              \
    ERR(DIAL_BACKOFF, 4128, 503, 1, "the peer's addresses failed a moment ago and rest")     \
    ERR(NOT_CONNECTED, 4129, 502, 1, "there is no connection to the peer")                   \
    ERR(LIMITED_CONN, 4130, 502, 1, "the connection is limited by its relay")                \
    ERR(NO_RESERVATION, 4131, 502, 1, "the peer is not connected to the relay")              \
    ERR(RELAY_REFUSED, 4132, 502, 1, "the relay does not let us reach the peer")             \
    ERR(RELAY_DATA_LIMIT, 4133, 502, 1, "the relay's limit of data for a connection is met") \
    ERR(RELAY_TIME_LIMIT, 4134, 502, 1, "the relay's limit of time for a connection is met")

enum {
#define ERR_ENUM(name, number, http, exit_code, text) ERR_##name = number,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
        ERR_END
};

/* The sentence for a code of either sign, strerror(3)'s for errno.  Never NULL; static storage or
 * the C library's table. */
const char *err_text(int error);

/* "ERR_LIMIT", "ENOENT", or "?" for an unknown number.  Static storage. */
const char *err_name(int error);

/* HTTP status for a code; 500 for errno. */
int err_http_status(int error);

/* Exit code of the command line for a code; 1 for errno, 0 for 0. */
int err_exit_code(int error);
