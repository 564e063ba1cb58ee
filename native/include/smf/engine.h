/* An engine: configuration -> cores -> transports -> listeners. Several may live in one process; they
 * share nothing. No signal handlers, nothing at load time or at exit, no environment variables.
 *
 * Fork: an engine belongs to the process that opened it. The parent does not notice a fork. In the child
 * the engine is closed: smf_core_poll, smf_core_post, smf_core_connect and smf_engine_listen say
 * SMF_ECLOSED, smf_engine_close does nothing, and payloads that were lent may be read. The child may
 * exec (every descriptor is close-on-exec), exit in any way, or open engines of its own. It keeps copies
 * of the parent's sockets until it execs or ends: peers of a parent that ended hear of it then. */
#ifndef SMF_ENGINE_H
#define SMF_ENGINE_H

#include <stdint.h>

#include <smf/core.h>
#include <smf/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_ABI_VERSION 1u       /* of these headers; changes when compiled programs must change */
#define SMF_VERSION_TEXT "0.1.0" /* of these headers */
#define SMF_CORES_MAX 256u       /* of an engine */

struct smf_engine; /* what smf_engine_open opens: cores, and what they listen on */

/* Transports. */
enum smf_net_kind {
    SMF_NET_AUTO = 0, /* the best that there is here */
    SMF_NET_EPOLL = 1 /* the kernel's sockets */
};

/* Settings. Zero in a field means its default. size is sizeof(struct smf_engine_config) as the caller
 * was compiled: new fields come at the end, so a program that knows fewer gets their defaults, and one
 * that knows more than the library is refused if it sets one of those. */
struct smf_engine_config {
    uint32_t size;                 /* sizeof(struct smf_engine_config) */
    uint32_t cores;                /* default 1; at most SMF_CORES_MAX */
    uint32_t net;                  /* enum smf_net_kind */
    int32_t spin_us;               /* default 50; -1: never spin; -2: never sleep */
    uint32_t baton;                /* 1: handlers may block (smf/baton.h); 0: not */
    uint32_t pin;                  /* 1: the driver of core i runs on the i-th CPU of the process's
                                        set; 0: wherever the scheduler likes */
    uint64_t memory_bytes;         /* per core; default 1 GiB, at least 8 MiB */
    uint64_t frame_size_bytes_max; /* of a payload, taken or sent; default 16 MiB */
    uint64_t unsent_bytes_max;     /* of a connection; default 64 MiB */
    uint32_t in_flight_max;        /* calls of a connection; default 4096, at most 2^30 */
    uint32_t running_max;          /* calls in flight of a core; default 65536, at most 2^30 */
    uint32_t connections_max;      /* of a core; default 65536; who arrives is turned away when all
                                        cores are full */
    uint32_t header_timeout_ms;    /* from the first to the last byte of a header; default 10000 */
    uint32_t body_timeout_ms;      /* from the first to the last byte of a payload; default 60000 */
    uint32_t idle_timeout_ms;      /* without a byte read and a call in flight; default 0: none */
    uint32_t send_timeout_ms;      /* for a peer that takes nothing; default 30000 */
    uint32_t reserved;             /* 0 */
    uint32_t level;                /* of the wire format, the highest that is spoken: default 2; 1:
                                        Hello is a method like others, and nobody's */
    uint32_t credit_bytes;         /* of each direction of a stream or of a message in slices, at
                                        level 2; default 256 KiB, at least 64 KiB */
    uint32_t compressions;         /* bits, 1 << enum smf_compression, that Hello offers; default 0:
                                        none */
    uint32_t reserved2;            /* 0 */
    uint64_t message_size_bytes_max; /* of a message in slices, taken or sent; default 64 MiB */
};

/* Opens an engine. Returns 0, or a negative status with *error_out filled: SMF_EINVAL for a setting out
 * of range or a NULL, SMF_ENOMEM, SMF_ELIMIT or SMF_ESYSTEM. Threads: any. Ownership: close it. Cost: maps
 * memory_bytes of address space per core, touches little of it; two threads per core with a baton. */
int smf_engine_open(struct smf_engine **engine_out, const struct smf_engine_config *config,
                    struct smf_error *error_out);

/* Closes cores, connections and listeners and frees everything. No core may have a driver any more,
 * and no lent buffer may be used. In a forked child, and for NULL: nothing happens. Threads: any.
 * Errors: none. Cost: does not wait for peers. */
void smf_engine_close(struct smf_engine *engine);

/* How many cores the engine has. Threads: any. Cost: none. */
uint32_t smf_engine_core_count(const struct smf_engine *engine);

/* A core; NULL when there are not so many. It lives as long as the engine. Threads: any. Cost: none. */
struct smf_core *smf_engine_core(struct smf_engine *engine, uint32_t index);

/* Listens on every core. Before the cores are driven. A connection that arrives goes to the core with
 * the fewest, whoever accepts it, and stays there: an engine whose cores are not all driven leaves some
 * of its peers waiting. bound_out receives the address with the port that the system chose; NULL, with
 * size 0: it is not asked for.
 *
 * Addresses: "127.0.0.1:port", "[::1]:port", "localhost:port" (127.0.0.1), ":port" (every address of the
 * machine, IPv4 and IPv6), "unix:/path" (the socket that a dead server has left is replaced, nothing
 * else), "unix:@name". Port 0: the system chooses one.
 *
 * Threads: any, while no core has a driver. Ownership: bound_out is the caller's, 128 bytes are enough.
 * Errors, with *error_out filled: SMF_EADDRINUSE, SMF_EADDRESS, SMF_EPERMISSION, SMF_ELIMIT, SMF_ENOMEM,
 * SMF_ESYSTEM, SMF_ECLOSED; SMF_EINVAL for a NULL and for a bound_size that is too small: then nothing
 * listens there. Cost: some system calls for each core. */
int smf_engine_listen(struct smf_engine *engine, const char *address, char *bound_out,
                      uint32_t bound_size, struct smf_error *error_out);

/* The engine's settings with every default filled in. settings_out->size says how large it is, as for
 * smf_engine_open; no more is written. Returns 0; SMF_EINVAL, and nothing is written, for a NULL and for
 * a size that smf_engine_open would refuse. Threads: any. Ownership: settings_out is the caller's. Cost:
 * none. */
int smf_engine_settings(const struct smf_engine *engine, struct smf_engine_config *settings_out);

/* One line that says which transport was chosen and why. Threads: any. Ownership: valid as long as the
 * engine. Cost: none. */
const char *smf_engine_describe(const struct smf_engine *engine);

/* SMF_ABI_VERSION of the library that is linked. Threads: any. Cost: none. */
uint32_t smf_abi_version(void);

/* SMF_VERSION_TEXT of the library that is linked. Threads: any. Ownership: static storage. */
const char *smf_version(void);

/* Sizes and offsets of the structures that the Go border mirrors, in the order of smf/layout.h.
 * Returns how many there are; fills at most capacity. Threads: any. Cost: none. */
uint32_t smf_layout(uint32_t *values_out, uint32_t capacity);

#ifdef __cplusplus
}
#endif
#endif
