/* The functions of <smf/frame.h> for code that handles every frame: inlined, with the hash inlined
 * too. The public functions are these, called from frame.c.
 *
 * Compiles XXH64 into whoever includes it; only for the files on the path of a frame. */
#ifndef SMF_FRAME_INLINE_H
#define SMF_FRAME_INLINE_H

#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <smf/frame.h>

_Static_assert(sizeof(struct smf_frame) == SMF_FRAME_HEADER_SIZE_BYTES,
               "no padding: decode is one copy on a little-endian machine");

static inline void smf__frame_decode(const uint8_t *bytes, struct smf_frame *frame_out)
{
    memcpy(frame_out, bytes, SMF_FRAME_HEADER_SIZE_BYTES);
    frame_out->session = le16toh(frame_out->session);
    frame_out->size = le32toh(frame_out->size);
    frame_out->checksum = le32toh(frame_out->checksum);
    frame_out->meta = le32toh(frame_out->meta);
}

static inline void smf__frame_encode(const struct smf_frame *frame, uint8_t *bytes_out)
{
    struct smf_frame wire = *frame;
    wire.session = htole16(wire.session);
    wire.size = htole32(wire.size);
    wire.checksum = htole32(wire.checksum);
    wire.meta = htole32(wire.meta);
    memcpy(bytes_out, &wire, SMF_FRAME_HEADER_SIZE_BYTES);
}

/* The faults in the order of the fields: the first one is what the peer is told apart by. */
static inline int smf__frame_check_level1(const struct smf_frame *frame)
{
    if (frame->compression > SMF_FRAME_COMPRESSION_MAX)
        return SMF_FRAME_BAD_COMPRESSION;
    if (frame->flags != 0)
        return SMF_FRAME_BAD_FLAGS;
    if (frame->size == 0)
        return SMF_FRAME_SIZE_ZERO;
    if (frame->checksum == 0)
        return SMF_FRAME_CHECKSUM_ZERO;
    if (frame->meta == 0)
        return SMF_FRAME_META_ZERO;
    return SMF_FRAME_GOOD;
}

static inline uint32_t smf__frame_checksum(const void *payload, size_t size_bytes)
{
    if (payload == NULL) /* no bytes need no address */
        payload = "";
    return (uint32_t)XXH64(payload, size_bytes, 0);
}

/* The multiplier spreads meta over all 64 bits of the seed: two headers that differ in one field never
 * have the same seed. */
#define SMF__FRAME_SEED_META 0x9e3779b97f4a7c15ull

static inline uint64_t smf__frame_seed(const struct smf_frame *frame)
{
    uint64_t head = (uint64_t)frame->compression | (uint64_t)frame->flags << 8 |
                    (uint64_t)frame->session << 16 | (uint64_t)frame->size << 32;
    return head ^ frame->meta * SMF__FRAME_SEED_META;
}

static inline uint32_t smf__frame_checksum_level2(const struct smf_frame *frame,
                                                  const void *payload, size_t size_bytes)
{
    if (payload == NULL)
        payload = "";
    return (uint32_t)XXH64(payload, size_bytes, smf__frame_seed(frame));
}

/* Of a header with flags; out of line, since a plain call has none. */
int smf__frame_check_flags(const struct smf_frame *frame);

static inline int smf__frame_check_level2(const struct smf_frame *frame)
{
    if (frame->flags != 0)
        return smf__frame_check_flags(frame);
    if (frame->compression > SMF_FRAME_COMPRESSION_MAX)
        return SMF_FRAME_BAD_COMPRESSION;
    if (frame->session == 0)
        return SMF_FRAME_BAD_SESSION;
    if (frame->meta == 0)
        return SMF_FRAME_META_ZERO;
    return SMF_FRAME_GOOD;
}

#endif
