/* Filters: the way of a call through them, and the memory of what they put. */
#include <stdlib.h>
#include <string.h>

#include <smf/flat.h>

#include "service/service_filter.h"

#define SPARE_MAX 4096u /* records that a core keeps */
#define FILTER_SIZE_MIN (offsetof(struct smf_filter, context) + sizeof(void *))

int smf__filter_copy(const struct smf_filter *filter, struct smf_filter *copy_out,
                     struct smf_error *error_out)
{
    const uint8_t *bytes = (const uint8_t *)filter;

    if (filter == NULL || filter->size < FILTER_SIZE_MIN)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "a filter needs its size: .size = sizeof(struct smf_filter)");
    for (uint32_t i = sizeof *filter; i < filter->size; i++) {
        if (bytes[i] != 0)
            return smf__error(error_out, SMF_EUNSUPPORTED, 0,
                              "the filter sets what this version of the library does not know");
    }
    memset(copy_out, 0, sizeof *copy_out);
    memcpy(copy_out, filter, filter->size < sizeof *filter ? filter->size : sizeof *filter);
    if (copy_out->request == NULL && copy_out->reply == NULL && copy_out->done == NULL &&
        copy_out->message == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "a filter needs at least one function: request, reply, done or message");
    return SMF_OK;
}

void smf__filters_insert(struct smf__filters *filters, uint32_t index,
                         const struct smf_filter *filter)
{
    smf__check(filters->count < SMF_FILTERS_MAX && index <= filters->count);
    memmove(&filters->list[index + 1], &filters->list[index],
            (filters->count - index) * sizeof *filter);
    filters->list[index] = *filter;
    filters->count++;
}

struct smf__filtered *smf__filter_begin(struct smf_core *core, const struct smf__filters *filters)
{
    struct smf__filtered *filtered;

    if (core->spare_calls != NULL) {
        filtered = core->spare_calls->memory;
        core->spare_calls = core->spare_calls->next;
        core->spare_call_count--;
    } else {
        filtered = malloc(sizeof *filtered);
        if (filtered == NULL)
            return NULL;
    }
    memset(filtered, 0, offsetof(struct smf__filtered, own));
    memset(filtered->own, 0, filters->count * sizeof *filtered->own);
    filtered->filters = filters;
    filtered->call.core = core;
    filtered->call.compressions = UINT32_MAX;
    return filtered;
}

static void drop(struct smf__filtered *filtered, struct smf_buffer **buffer)
{
    smf_core_release(filtered->call.core, *buffer);
    *buffer = NULL;
}

static void turn_payload(struct smf__filtered *filtered)
{
    struct smf_filter_call *call = &filtered->call;

    filtered->request = filtered->put;
    filtered->put = NULL;
    drop(filtered, &filtered->reserved);
    call->payload = NULL;
    call->size_bytes = 0;
    call->compression = SMF_COMPRESSION_NONE;
}

uint32_t smf__filter_request(struct smf__filtered *filtered)
{
    struct smf_filter_call *call = &filtered->call;
    const struct smf__filters *filters = filtered->filters;

    for (uint32_t i = 0; i < filters->count; i++) {
        const struct smf_filter *filter = &filters->list[i];
        uint32_t before = filtered->commits, blocks_before = filtered->blocks;

        filtered->passed = i;
        call->own = &filtered->own[i];
        filtered->stopped = filter->request != NULL ? filter->request(call, filter->context) : 0;
        if (filtered->stopped != 0) {
            if (filtered->blocks == blocks_before) /* what is there is the request's */
                call->metadata = NULL;
            if (filtered->commits == before)
                turn_payload(filtered);
            return filtered->stopped;
        }
    }
    filtered->passed = filters->count;
    return 0;
}

void smf__filter_turn(struct smf__filtered *filtered)
{
    struct smf_filter_call *call = &filtered->call;

    turn_payload(filtered);
    filtered->request_block = filtered->block;
    filtered->block = NULL;
    call->metadata = NULL;
}

void smf__filter_reply(struct smf__filtered *filtered)
{
    struct smf_filter_call *call = &filtered->call;

    for (uint32_t i = filtered->passed; i-- > 0;) {
        const struct smf_filter *filter = &filtered->filters->list[i];

        call->own = &filtered->own[i];
        if (filter->reply != NULL)
            filter->reply(call, filter->context);
    }
}

uint32_t smf__filter_compressions(const struct smf_core *core, uint64_t conn, int asked)
{
    struct smf_level level;

    if (smf_core_level(core, conn, &level) == SMF_OK && level.level == 2)
        return level.compressions;
    return asked ? 0 : UINT32_MAX;
}

void smf__filter_metadata_of(const struct smf__filtered *filtered, struct smf__message *message)
{
    const struct smf_filter_call *call = &filtered->call;

    message->block = call->level == 2 ? call->metadata : NULL;
    message->block_size = message->block != NULL ? smf_flat_load_u32(message->block) : 0;
}

int smf__filter_send(struct smf__filtered *filtered, struct smf__message *message)
{
    struct smf_filter_call *call = &filtered->call;
    int status;

    message->compression = call->compression;
    status = smf__message_send_buffer(call->core, message, &filtered->put, call->size_bytes);
    if (filtered->put == NULL)
        call->payload = NULL;
    return status;
}

void smf__filter_done(struct smf__filtered *filtered)
{
    struct smf_filter_call *call = &filtered->call;
    struct smf_core *core = call->core;

    call->payload = NULL;
    for (uint32_t i = filtered->passed; i-- > 0;) {
        const struct smf_filter *filter = &filtered->filters->list[i];

        call->own = &filtered->own[i];
        if (filter->done != NULL)
            filter->done(call, filter->context);
    }
    drop(filtered, &filtered->request);
    drop(filtered, &filtered->request_block);
    drop(filtered, &filtered->block);
    drop(filtered, &filtered->put);
    drop(filtered, &filtered->reserved);
    if (core->spare_call_count == SPARE_MAX) {
        free(filtered);
        return;
    }
    filtered->spare = (struct smf__spare){filtered, core->spare_calls};
    core->spare_calls = &filtered->spare;
    core->spare_call_count++;
}

int smf_filter_reserve(struct smf_filter_call *call, uint64_t size_bytes, uint8_t **memory_out)
{
    struct smf__filtered *filtered = (struct smf__filtered *)call;
    struct smf__pool *pool = call->core->pool;

    if (size_bytes == 0)
        return SMF_EINVAL;
    if (size_bytes > UINT32_MAX - SMF_FRAME_HEADER_SIZE_BYTES ||
        !smf__pool_could_fit(pool, size_bytes + SMF_FRAME_HEADER_SIZE_BYTES))
        return SMF_ELIMIT;
    drop(filtered, &filtered->reserved);
    filtered->reserved = smf__pool_get(pool, size_bytes + SMF_FRAME_HEADER_SIZE_BYTES);
    if (filtered->reserved == NULL)
        return SMF_ENOMEM;
    *memory_out = filtered->reserved->data + SMF_FRAME_HEADER_SIZE_BYTES;
    return SMF_OK;
}

int smf_filter_commit(struct smf_filter_call *call, uint32_t size_bytes, uint32_t compression)
{
    struct smf__filtered *filtered = (struct smf__filtered *)call;

    if (filtered->reserved == NULL || size_bytes == 0 || compression > SMF_FRAME_COMPRESSION_MAX ||
        size_bytes > filtered->reserved->capacity - SMF_FRAME_HEADER_SIZE_BYTES)
        return SMF_EINVAL;
    drop(filtered, &filtered->put);
    filtered->commits++;
    filtered->put = filtered->reserved;
    filtered->reserved = NULL;
    call->payload = filtered->put->data + SMF_FRAME_HEADER_SIZE_BYTES;
    call->size_bytes = size_bytes;
    call->compression = (uint8_t)compression;
    return SMF_OK;
}

int smf_filter_put(struct smf_filter_call *call, const void *payload, uint32_t size_bytes,
                   uint32_t compression)
{
    uint8_t *memory;
    int status = smf_filter_reserve(call, size_bytes, &memory);

    if (status != SMF_OK)
        return status;
    memcpy(memory, payload, size_bytes);
    return smf_filter_commit(call, size_bytes, compression);
}

int smf_filter_metadata(const struct smf_filter_call *call, struct smf_metadata *block_out)
{
    memset(block_out, 0, sizeof *block_out);
    return call->metadata != NULL &&
           smf_metadata_read(call->metadata, smf_flat_load_u32(call->metadata), block_out) ==
               SMF_METADATA_GOOD;
}

int smf_filter_put_metadata(struct smf_filter_call *call, const void *block, uint32_t size_bytes)
{
    struct smf__filtered *filtered = (struct smf__filtered *)call;
    struct smf_buffer *copy = NULL;
    struct smf_metadata read;

    if (call->message != SMF_FILTER_MESSAGE_NONE)
        return SMF_EINVAL;
    if (size_bytes != 0) {
        if (smf_metadata_read(block, size_bytes, &read) != SMF_METADATA_GOOD ||
            read.size_bytes != size_bytes)
            return SMF_EINVAL;
        copy = smf__pool_get(call->core->pool, size_bytes);
        if (copy == NULL)
            return SMF_ENOMEM;
        memcpy(copy->data, block, size_bytes);
    }
    drop(filtered, &filtered->block);
    filtered->blocks++;
    filtered->block = copy;
    call->metadata = copy != NULL ? copy->data : NULL;
    return SMF_OK;
}

int smf_filter_add_metadata(struct smf_filter_call *call, const char *key, const void *value,
                            size_t value_size_bytes)
{
    uint8_t bytes[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_metadata_writer writer;
    struct smf_metadata_entry entry;
    struct smf_metadata block;
    uint32_t cursor = 0, size;
    int status;

    smf_metadata_begin(&writer, bytes, sizeof bytes, 0);
    (void)smf_filter_metadata(call, &block);
    while (smf_metadata_next(&block, &cursor, &entry))
        (void)smf_metadata_add(&writer, entry.key, entry.key_size_bytes, entry.value,
                               entry.value_size_bytes);
    (void)smf_metadata_add(&writer, key, strlen(key), value, value_size_bytes);
    status = smf_metadata_end(&writer, &size);
    return status == SMF_OK ? smf_filter_put_metadata(call, bytes, size) : status;
}
