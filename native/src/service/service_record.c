/* Records of calls: the metadata of replies, and who of the deferred ones is not waited for any more. */
#include "service/service_stream.h"

#include <stdlib.h>
#include <string.h>

#include <smf/level2.h>

#define BUCKETS_MIN 64u
#define SPARE_MAX 4096u /* records that a core keeps */

struct smf__records {
    struct smf_call_record *spare;
    struct smf_call_record **buckets; /* [mask + 1] */
    uint32_t spare_count;
    uint32_t count; /* in the buckets */
    uint32_t mask;
};

static void close_records(struct smf__records *records)
{
    struct smf_call_record *next;

    for (uint32_t i = 0; i <= records->mask; i++) {
        for (struct smf_call_record *at = records->buckets[i]; at != NULL; at = next) {
            next = at->next;
            free(at);
        }
    }
    for (struct smf_call_record *at = records->spare; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
    free(records->buckets);
    free(records);
}

static struct smf__records *open_records(struct smf_core *core)
{
    struct smf__records *records;

    if (core->records != NULL)
        return core->records;
    records = calloc(1, sizeof *records);
    if (records == NULL)
        return NULL;
    records->buckets = calloc(BUCKETS_MIN, sizeof(struct smf_call_record *));
    if (records->buckets == NULL) {
        free(records);
        return NULL;
    }
    records->mask = BUCKETS_MIN - 1;
    core->records = records;
    core->records_close = close_records;
    return records;
}

struct smf_call_record *smf__record_take(struct smf_core *core)
{
    struct smf__records *records = open_records(core);
    struct smf_call_record *record;

    if (records == NULL)
        return NULL;
    record = records->spare;
    if (record != NULL) {
        records->spare = record->next;
        records->spare_count--;
    } else {
        record = malloc(sizeof *record);
        if (record == NULL)
            return NULL;
    }
    memset(record, 0, offsetof(struct smf_call_record, block));
    smf__link_init(&record->of_conn);
    return record;
}

/* Deferred calls, by connection and session. */

static struct smf_call_record **bucket_of(const struct smf__records *records, uint64_t conn,
                                          uint16_t session)
{
    uint64_t mixed = ((conn ^ conn >> 32) + session) * 0x9E3779B97F4A7C15u;

    return &records->buckets[(uint32_t)(mixed >> 32) & records->mask];
}

static struct smf_call_record *find(const struct smf__records *records, uint64_t conn,
                                    uint16_t session)
{
    struct smf_call_record *at;

    for (at = *bucket_of(records, conn, session); at != NULL; at = at->next) {
        if (at->conn == conn && at->session == session)
            return at;
    }
    return NULL;
}

/* A table that stays as it is for want of memory only has longer chains. */
static void grow(struct smf__records *records)
{
    uint32_t size = records->mask + 1;
    struct smf_call_record **old = records->buckets, **buckets;

    if (records->count < size)
        return;
    buckets = calloc((size_t)size * 2, sizeof(struct smf_call_record *));
    if (buckets == NULL)
        return;
    records->buckets = buckets;
    records->mask = size * 2 - 1;
    for (uint32_t i = 0; i < size; i++) {
        for (struct smf_call_record *at = old[i], *next; at != NULL; at = next) {
            struct smf_call_record **bucket = bucket_of(records, at->conn, at->session);

            next = at->next;
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(old);
}

static void hash(struct smf__records *records, struct smf_call_record *record)
{
    struct smf_call_record **bucket;

    grow(records);
    bucket = bucket_of(records, record->conn, record->session);
    record->next = *bucket;
    *bucket = record;
    record->hashed = 1;
    records->count++;
}

static void unhash(struct smf__records *records, struct smf_call_record *record)
{
    struct smf_call_record **at = bucket_of(records, record->conn, record->session);

    if (!record->hashed)
        return;
    while (*at != record)
        at = &(*at)->next;
    *at = record->next;
    record->hashed = 0;
    records->count--;
}

static void keep(struct smf__records *records, struct smf_call_record *record)
{
    if (records->spare_count == SPARE_MAX) {
        free(record);
        return;
    }
    record->next = records->spare;
    records->spare = record;
    records->spare_count++;
}

void smf__record_defer(struct smf_core *core, struct smf_call_record *record, uint64_t conn,
                       uint16_t session)
{
    struct smf__records *records = core->records;
    struct smf_call_record *own = find(records, conn, 0);

    if (own == NULL) {
        own = smf__record_take(core);
        if (own == NULL)
            return;
        own->conn = conn;
        hash(records, own);
    }
    record->conn = conn;
    record->session = session;
    record->deferred = 1;
    smf__link_append(&own->of_conn, &record->of_conn);
    if (session != 0) /* one-way messages have none of their own */
        hash(records, record);
}

/* Nobody asks for the call any more. */
static void leave(struct smf__records *records, struct smf_call_record *record)
{
    struct smf_call_record *own;

    record->deferred = 0;
    unhash(records, record);
    smf__link_remove(&record->of_conn);
    own = find(records, record->conn, 0);
    if (own == NULL || !smf__link_alone(&own->of_conn))
        return;
    unhash(records, own);
    keep(records, own);
}

void smf__record_give(struct smf_core *core, struct smf_call_record *record)
{
    if (record == NULL)
        return;
    if (record->deferred)
        leave(core->records, record);
    smf_core_release(core, record->grown);
    keep(core->records, record);
}

uint32_t smf__records_found(const struct smf_core *core)
{
    return core->records != NULL ? core->records->count : 0;
}

static void cancel(struct smf_call_record *record, uint32_t code)
{
    if (record->cancelled != 0)
        return;
    record->cancelled = code;
    if (record->function != NULL)
        record->function(code, record->context);
}

/* Whoever is told may answer this call, and others. */
static void cancel_all(struct smf__records *records, uint64_t conn)
{
    struct smf_call_record *own = find(records, conn, 0);
    struct smf__link all;

    if (own == NULL)
        return;
    smf__link_init(&all);
    smf__link_append(&own->of_conn, &all);
    smf__link_remove(&own->of_conn);
    unhash(records, own);
    keep(records, own);
    while (!smf__link_alone(&all)) {
        struct smf_call_record *record = SMF__LINK_OF(all.next, struct smf_call_record, of_conn);

        leave(records, record);
        cancel(record, SMF_CODE_CANCELLED);
    }
}

int smf_call_event(struct smf_core *core, const struct smf_event *event)
{
    struct smf_call_record *record;

    if (core->streams != NULL && event->kind == SMF_EVENT_CLOSED)
        smf__stream_conn_ended(core, event->conn);
    else if (core->streams != NULL && smf__stream_event(core, event, 0))
        return 1;
    if (core->records == NULL || core->records->count == 0)
        return 0;
    if (event->kind == SMF_EVENT_CLOSED)
        cancel_all(core->records, event->conn);
    if (event->kind != SMF_EVENT_CANCEL || event->session == 0)
        return 0;
    record = find(core->records, event->conn, event->session);
    if (record == NULL)
        return 0;
    cancel(record, event->meta == SMF_CODE_DEADLINE ? SMF_CODE_DEADLINE : SMF_CODE_CANCELLED);
    return 1;
}

uint32_t smf_call_cancelled(const struct smf_call *later)
{
    return later->record != NULL ? later->record->cancelled : 0;
}

void smf_call_on_cancel(struct smf_call *later, smf_call_cancel function, void *context)
{
    struct smf_call_record *record = later->record;

    if (record == NULL)
        return;
    record->function = function;
    record->context = context;
    if (record->cancelled != 0 && function != NULL)
        function(record->cancelled, context);
}

/* The metadata of a reply. */

/* Moves a block that needs more memory than a record has. */
static int grow_block(struct smf_core *core, struct smf_call_record *record)
{
    struct smf_metadata_writer *writer = &record->writer;
    uint32_t used = writer->used_bytes;
    struct smf_buffer *buffer = smf__pool_get(core->pool, SMF_METADATA_SIZE_BYTES_MAX);

    writer->status = SMF_OK; /* what is there is whole */
    if (buffer == NULL)
        return SMF_ENOMEM;
    memcpy(buffer->data, writer->bytes, used);
    smf_metadata_begin(writer, buffer->data, SMF_METADATA_SIZE_BYTES_MAX, 0);
    writer->used_bytes = used;
    record->grown = buffer;
    return SMF_OK;
}

int smf_call_add_metadata(struct smf_call *call, const char *key, const void *value,
                          size_t value_size_bytes)
{
    struct smf_metadata_writer *writer;
    int status;

    if (!smf__call_is_open(call))
        return SMF_EINVAL;
    if (call->level < 2)
        return SMF_OK;
    if (call->record == NULL)
        call->record = smf__record_take(call->core);
    if (call->record == NULL)
        return SMF_ENOMEM;
    writer = &call->record->writer;
    if (writer->bytes == NULL)
        smf_metadata_begin(writer, call->record->block, sizeof call->record->block, 0);
    status = smf_metadata_add(writer, key, strlen(key), value, value_size_bytes);
    if (status == SMF_ENOMEM && call->record->grown == NULL) {
        status = grow_block(call->core, call->record);
        if (status == SMF_OK)
            status = smf_metadata_add(writer, key, strlen(key), value, value_size_bytes);
    }
    writer->status = SMF_OK; /* an entry that was refused is not there; those before it are */
    return status;
}

const uint8_t *smf__record_block(struct smf_call_record *record, uint32_t *size_out)
{
    *size_out = 0;
    if (record == NULL || record->writer.bytes == NULL ||
        smf_metadata_end(&record->writer, size_out) != SMF_OK)
        return NULL;
    return record->writer.bytes;
}
