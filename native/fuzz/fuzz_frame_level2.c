/* Any bytes as a frame of level 2: what its rules let through has nothing illegal in it, and the checksum
 * is a matter of the bytes alone. And as a Hello and an Error: what is read comes back when it is written. */
#include <stdlib.h>
#include <string.h>

#include <smf/frame.h>

#include "frame/frame_error.h"
#include "frame/frame_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

/* What any frame that passed may be relied on for. */
static void check_good(const struct smf_frame *frame)
{
    int unanswered = (frame->flags & (SMF_FRAME_CONTROL | SMF_FRAME_ONE_WAY)) != 0;
    require(frame->compression <= SMF_FRAME_COMPRESSION_MAX);
    require(frame->meta != 0);
    require((frame->session == 0) == unanswered);
    if (frame->flags & SMF_FRAME_METADATA)
        require(frame->size >= SMF_METADATA_SIZE_BYTES_MIN);
    if (frame->flags & SMF_FRAME_MORE)
        require(frame->size > 0 && !(frame->flags & (SMF_FRAME_FIN | SMF_FRAME_RESET)));
    if (frame->flags & SMF_FRAME_FIN)
        require(frame->flags & SMF_FRAME_STREAM);
    if (frame->flags & SMF_FRAME_CREDIT)
        require(frame->flags == SMF_FRAME_CREDIT && frame->size == 4 && frame->compression == 0);
    if (frame->flags & SMF_FRAME_CONTROL)
        require(frame->flags == SMF_FRAME_CONTROL && frame->size == 8 && frame->meta <= 3);
}

static void check_frame(const uint8_t *bytes, size_t size_bytes)
{
    struct smf_frame frame;
    smf_frame_decode(bytes, &frame);
    int fault = smf_frame_check_level2(&frame);
    require(fault >= SMF_FRAME_GOOD && fault <= SMF_FRAME_BAD_CONTROL);
    require(fault != SMF_FRAME_SIZE_ZERO && fault != SMF_FRAME_CHECKSUM_ZERO);
    if (fault == SMF_FRAME_GOOD)
        check_good(&frame);
    size_t rest = size_bytes - SMF_FRAME_HEADER_SIZE_BYTES;
    uint8_t *copy = malloc(rest + 1);
    require(copy != NULL);
    memcpy(copy + 1, bytes + SMF_FRAME_HEADER_SIZE_BYTES, rest);
    uint32_t checksum = smf_frame_checksum_level2(&frame, copy + 1, rest);
    frame.checksum = ~frame.checksum; /* plays no part */
    require(smf_frame_checksum_level2(&frame, bytes + SMF_FRAME_HEADER_SIZE_BYTES, rest) ==
            checksum);
    free(copy);
}

static void check_hello(const uint8_t *bytes, size_t size_bytes)
{
    struct smf__hello hello, again;
    struct smf_error error;
    struct smf_flat_builder builder;
    uint8_t memory[SMF__HELLO_SIZE_BYTES_MAX];
    if (smf__hello_read(bytes, size_bytes, &hello, &error) != SMF_OK) {
        require(error.status == SMF_EINVAL && error.text[0] != 0);
        return;
    }
    require(hello.level >= 1);
    require(hello.level == 1 || hello.credit_bytes >= SMF__HELLO_CREDIT_BYTES_MIN);
    smf_flat_builder_init(&builder, memory, sizeof(memory));
    require(smf__hello_write(&builder, &hello) == SMF_OK);
    require(smf__hello_read(smf_flat_payload(&builder), smf_flat_size_bytes(&builder), &again,
                            NULL) == SMF_OK);
    require(memcmp(&hello, &again, sizeof(hello)) == 0);
}

static void check_error(const uint8_t *bytes, size_t size_bytes)
{
    struct smf__error error, again;
    struct smf_flat_builder builder;
    if (smf__error_read(bytes, size_bytes, &error, NULL) != SMF_OK) {
        require(error.may_have_run && error.message.size_bytes == 0);
        return;
    }
    smf_flat_builder_init(&builder, NULL, 0);
    require(smf__error_write(&builder, &error) == SMF_OK);
    require(smf__error_read(smf_flat_payload(&builder), smf_flat_size_bytes(&builder), &again,
                            NULL) == SMF_OK);
    require(error.message.size_bytes == again.message.size_bytes &&
            memcmp(error.message.data, again.message.data, error.message.size_bytes) == 0);
    require(error.details.count == again.details.count);
    require(error.retry_after_ms == again.retry_after_ms);
    require(error.may_have_run == again.may_have_run);
    smf_flat_builder_fini(&builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes >= SMF_FRAME_HEADER_SIZE_BYTES)
        check_frame(data, size_bytes);
    check_hello(data, size_bytes);
    check_error(data, size_bytes);
    return 0;
}
