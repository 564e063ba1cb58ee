#include <smf/frame.h>

#include <stdbool.h>

#include <smf/metadata.h>

#include "frame/frame_inline.h"

#define NAME_SIZE_BYTES_MAX 1000u

void smf_frame_decode(const uint8_t *bytes, struct smf_frame *frame_out)
{
    smf__frame_decode(bytes, frame_out);
}

void smf_frame_encode(const struct smf_frame *frame, uint8_t *bytes_out)
{
    smf__frame_encode(frame, bytes_out);
}

int smf_frame_check_level1(const struct smf_frame *frame)
{
    return smf__frame_check_level1(frame);
}

uint32_t smf_frame_checksum(const void *payload, size_t size_bytes)
{
    return smf__frame_checksum(payload, size_bytes);
}

uint32_t smf_frame_checksum_level2(const struct smf_frame *frame, const void *payload,
                                   size_t size_bytes)
{
    return smf__frame_checksum_level2(frame, payload, size_bytes);
}

int smf_frame_check_level2(const struct smf_frame *frame)
{
    return smf__frame_check_level2(frame);
}

/* May these flags stand together? Each of the rows stands for one kind of frame. */
static bool flags_may_stand(unsigned flags)
{
    if (flags & SMF_FRAME_CONTROL)
        return flags == SMF_FRAME_CONTROL;
    if (flags & SMF_FRAME_CREDIT)
        return flags == SMF_FRAME_CREDIT;
    if (flags & SMF_FRAME_ONE_WAY)
        return (flags & ~(SMF_FRAME_ONE_WAY | SMF_FRAME_METADATA)) == 0;
    if (flags & SMF_FRAME_RESET)
        return (flags & ~(SMF_FRAME_RESET | SMF_FRAME_METADATA | SMF_FRAME_STREAM)) == 0;
    if (flags & SMF_FRAME_FIN) /* a stream's last frame, and of a message the last slice */
        return (flags & SMF_FRAME_STREAM) && !(flags & SMF_FRAME_MORE);
    return true;
}

/* Can a frame with such flags be so large? */
static bool size_fits(unsigned flags, uint32_t size)
{
    if (flags & SMF_FRAME_CONTROL)
        return size == SMF_FRAME_CONTROL_SIZE_BYTES;
    if (flags & SMF_FRAME_CREDIT)
        return size == SMF_FRAME_CREDIT_SIZE_BYTES;
    uint32_t size_min = 0;
    if (flags & SMF_FRAME_MORE) /* a slice has at least a byte of its message */
        size_min = 1;
    if (flags & SMF_FRAME_METADATA)
        size_min += SMF_METADATA_SIZE_BYTES_MIN;
    if ((flags & SMF_FRAME_METADATA) && (flags & SMF_FRAME_MORE)) /* the first slice */
        size_min += SMF_FRAME_MESSAGE_SIZE_BYTES;
    return size >= size_min;
}

int smf__frame_check_flags(const struct smf_frame *frame)
{
    unsigned flags = frame->flags;
    bool plain = (flags & (SMF_FRAME_CONTROL | SMF_FRAME_CREDIT)) != 0; /* never compressed */
    bool unanswered = (flags & (SMF_FRAME_CONTROL | SMF_FRAME_ONE_WAY)) != 0;
    if (frame->compression > (plain ? SMF_COMPRESSION_NONE : SMF_FRAME_COMPRESSION_MAX))
        return SMF_FRAME_BAD_COMPRESSION;
    if (!flags_may_stand(flags))
        return SMF_FRAME_BAD_FLAGS;
    if ((frame->session == 0) != unanswered)
        return SMF_FRAME_BAD_SESSION;
    if (!size_fits(flags, frame->size))
        return SMF_FRAME_BAD_SIZE;
    if (frame->meta == 0)
        return SMF_FRAME_META_ZERO;
    if ((flags & SMF_FRAME_CONTROL) && frame->meta > SMF_CONTROL_GOAWAY)
        return SMF_FRAME_BAD_CONTROL;
    return SMF_FRAME_GOOD;
}

/* The remainders of 0..15, reflected polynomial 0xedb88320: four bits a step. Names are short and ids
 * are made once, so a small table is worth more than speed. */
static const uint32_t crc_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

/* Goes on with a checksum that began as CRC_BEGIN and is finished by inverting it. */
#define CRC_BEGIN 0xffffffffu

static uint32_t crc_add(uint32_t crc, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ crc_table[crc & 15];
        crc = crc >> 4 ^ crc_table[crc & 15];
    }
    return crc;
}

uint32_t smf_crc32(const void *data, size_t size_bytes)
{
    return ~crc_add(CRC_BEGIN, data, size_bytes);
}

uint32_t smf_method_id(const char *service, const char *method, const char *in, const char *out)
{
    size_t service_size = strnlen(service, NAME_SIZE_BYTES_MAX + 1);
    size_t method_size = strnlen(method, NAME_SIZE_BYTES_MAX + 1);
    size_t in_size = strnlen(in, NAME_SIZE_BYTES_MAX + 1);
    size_t out_size = strnlen(out, NAME_SIZE_BYTES_MAX + 1);
    if (service_size > NAME_SIZE_BYTES_MAX || method_size > NAME_SIZE_BYTES_MAX ||
        in_size > NAME_SIZE_BYTES_MAX || out_size > NAME_SIZE_BYTES_MAX) {
        return 0;
    }
    uint32_t crc = crc_add(CRC_BEGIN, method, method_size);
    crc = crc_add(crc, ":", 1);
    crc = crc_add(crc, in, in_size);
    crc = crc_add(crc, ":", 1);
    crc = crc_add(crc, out, out_size);
    return smf_crc32(service, service_size) ^ ~crc;
}
