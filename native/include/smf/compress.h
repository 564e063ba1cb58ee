/* Compression of payloads by zstd and lz4, as a filter (smf/filter.h). A library of its own, libsmf_compress,
 * over the system's libzstd and liblz4: libsmf itself needs neither.
 *
 *     const struct smf_compress_options options = {.size = sizeof options,
 *                                                  .compression = SMF_COMPRESSION_ZSTD,
 *                                                  .size_bytes_min = 1024};
 *     smf_compress_open(&compress, &options, &error);
 *     smf_router_filter(router, NULL, NULL, smf_compress_filter(compress), &error);
 *     ...
 *     smf_router_close(router);
 *     smf_compress_close(compress);
 *
 * The filter reads payloads of both kinds, whatever it compresses with itself: requests on a server, replies on
 * a client. It compresses replies on a server, and requests on a client, that are larger than size_bytes_min,
 * if they become smaller by it, and if the peer can read them. At level 1 nobody says what he can read: there,
 * compress only for peers that are known to have such a filter, too.
 *
 * Messages of streams (smf/stream.h) are read likewise; they are compressed where streams says so, for peers that are
 * known to read them: Go peers refuse them.
 *
 * It belongs next to the wire: the first filter of a router, the last one of a client. Filters between it and
 * the handlers see plain payloads.
 *
 * What is read is bounded before memory is spent. Over decompressed_size_bytes_max, a request is answered with
 * 413 and a reply is SMF_ELIMIT; malformed ones are 400 and SMF_EINVAL; without memory for it now, 503 and
 * SMF_ENOMEM. Payloads are decompressed into memory of the core and counted there. */
#ifndef SMF_COMPRESS_H
#define SMF_COMPRESS_H

#include <stdint.h>

#include <smf/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_COMPRESS_SIZE_BYTES_MAX_DEFAULT (64u << 20) /* of a payload, decompressed */

struct smf_compress; /* settings, and for every core what is used again */

/* How to compress, and what to read. Zeroes are the defaults.
 *
 * Levels of zstd are 1 to 22, and 3 when it is 0. Those of lz4 are 1 (fast, and what 0 means), and 2 to 12 (smaller
 * and slow). Whatever decompressed_size_bytes_max is, no payload is larger than an eighth of a core's memory_bytes. */
struct smf_compress_options {
    uint32_t size;           /* sizeof(struct smf_compress_options) */
    uint32_t compression;    /* SMF_COMPRESSION_ZSTD, SMF_COMPRESSION_LZ4, or NONE to read alone */
    int32_t level;           /* of what is sent */
    uint32_t size_bytes_min; /* only larger payloads are compressed */
    uint64_t
        decompressed_size_bytes_max; /* of one payload; 0 is SMF_COMPRESS_SIZE_BYTES_MAX_DEFAULT */
    uint32_t streams;  /* 1: messages of streams are compressed, too; 0: they are only read */
    uint32_t reserved; /* 0 */
};

/* Makes a filter. options: NULL is all defaults. Threads: any. Ownership: to be closed when no router or client
 * that has the filter is left. Errors, with *error_out filled: SMF_EINVAL (a size, compression or level
 * that can't be), SMF_EUNSUPPORTED (options of newer headers set what this library does not know),
 * SMF_ENOMEM. Cost: allocates; memory of zstd (about 1 MiB at level 3, much more at high levels) and lz4 (16 KiB,
 * 256 KiB from level 2) comes with the first call of each core. */
int smf_compress_open(struct smf_compress **compress_out,
                      const struct smf_compress_options *options, struct smf_error *error_out);

/* Frees it, with what it holds for cores. Errors: none; NULL is nothing. */
void smf_compress_close(struct smf_compress *compress);

/* The filter, for smf_router_filter and smf_client_filter; one may be in any number of them, on any number of
 * cores. Threads: any. Ownership: of compress. Cost: none. */
const struct smf_filter *smf_compress_filter(const struct smf_compress *compress);

#ifdef __cplusplus
}
#endif
#endif
