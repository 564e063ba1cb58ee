/* Any 16 bytes are a header that comes back as it was; what passes as level 1 has nothing illegal in
 * it; and a checksum is a matter of the bytes alone, whatever their address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <smf/frame.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_header(const uint8_t *bytes)
{
    struct smf_frame frame;
    uint8_t again[SMF_FRAME_HEADER_SIZE_BYTES];
    smf_frame_decode(bytes, &frame);
    smf_frame_encode(&frame, again);
    require(memcmp(bytes, again, sizeof(again)) == 0);

    int fault = smf_frame_check_level1(&frame);
    require(fault >= SMF_FRAME_GOOD && fault <= SMF_FRAME_META_ZERO);
    int legal = bytes[0] <= SMF_FRAME_COMPRESSION_MAX && bytes[1] == 0 && frame.size != 0 &&
                frame.checksum != 0 && frame.meta != 0;
    require((fault == SMF_FRAME_GOOD) == legal);
}

static void check_checksum(const uint8_t *bytes, size_t size_bytes)
{
    uint32_t checksum = smf_frame_checksum(bytes, size_bytes);
    /* A copy of exactly this size: reading one byte too many is found. */
    uint8_t *copy = malloc(size_bytes + 1);
    require(copy != NULL);
    memcpy(copy + 1, bytes, size_bytes);
    require(smf_frame_checksum(copy + 1, size_bytes) == checksum);
    free(copy);
}

/* The input as four names, each ending at a zero byte or at its limit. */
static void check_method_id(const uint8_t *bytes, size_t size_bytes)
{
    char names[4][1100];
    for (int i = 0; i < 4; i++) {
        size_t size = size_bytes < sizeof(names[i]) - 1 ? size_bytes : sizeof(names[i]) - 1;
        memcpy(names[i], bytes, size);
        names[i][size] = 0;
        size_t used = strlen(names[i]);
        used += used < size_bytes; /* the zero byte itself */
        bytes += used;
        size_bytes -= used;
    }
    char text[2300];
    size_t method = strlen(names[1]), in = strlen(names[2]), out = strlen(names[3]);
    if (method + in + out + 2 > sizeof(text) || strlen(names[0]) > 1000 || method > 1000 ||
        in > 1000 || out > 1000)
        return;
    memcpy(text, names[1], method);
    text[method] = ':';
    memcpy(text + method + 1, names[2], in);
    text[method + 1 + in] = ':';
    memcpy(text + method + in + 2, names[3], out);
    uint32_t id = smf_crc32(names[0], strlen(names[0])) ^ smf_crc32(text, method + in + out + 2);
    require(smf_method_id(names[0], names[1], names[2], names[3]) == id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes >= SMF_FRAME_HEADER_SIZE_BYTES)
        check_header(data);
    check_checksum(data, size_bytes);
    check_method_id(data, size_bytes);
    return 0;
}
