/* Serves, or calls, the methods that stream of testdata/streams, by the code that was generated.
 *
 *     stream_peer serve          prints its address; ends by SIGTERM
 *     stream_peer call ADDRESS   calls all three, and prints what came of it */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/engine.h>

#include "streams.smf.h"

#define PARTS 300u
#define PART_SIZE_BYTES 5000u
#define ENTRIES 5000u
#define ROUNDS 20u

static struct smf_core *core;

static void on_signal(int number)
{
    (void)number;
    smf_core_stop(core);
}

/* A stream's own counts. */
struct counts {
    uint64_t done, wanted, size;
};

static struct counts *counts_of(struct smf_stream *stream)
{
    return (struct counts *)smf_stream_user(stream);
}

static void begin(struct smf_stream *stream)
{
    smf_stream_set_user(stream, calloc(1, sizeof(struct counts)));
}

static int send_entry(struct smf_stream *stream, uint64_t number)
{
    struct smf_flat_builder *b = smf_stream_builder(stream);

    if (smf_flat_payload(b) == NULL) {
        struct smf_flat_string_ref name = smf_flat_build_string(b, "entry", 5);

        smf_test_streams_Entry_start_table(b);
        smf_test_streams_Entry_add_name(b, name);
        smf_test_streams_Entry_add_number(b, number);
        smf_test_streams_Entry_finish_root(b, smf_test_streams_Entry_end_table(b));
    }
    return smf_stream_send(stream, b);
}

static uint32_t open_any(struct smf_stream *stream, void *context)
{
    (void)context;
    begin(stream);
    return SMF_CODE_OK;
}

static void on_part(struct smf_stream *stream, const struct smf_test_streams_Part *part,
                    void *context)
{
    (void)context;
    counts_of(stream)->done++;
    counts_of(stream)->size += smf_test_streams_Part_bytes(part).count;
}

static void on_last_part(struct smf_stream *stream, void *context)
{
    struct smf_flat_builder *b = smf_stream_builder(stream);

    (void)context;
    smf_test_streams_Summary_start_table(b);
    smf_test_streams_Summary_add_parts(b, counts_of(stream)->done);
    smf_test_streams_Summary_add_size(b, counts_of(stream)->size);
    smf_test_streams_Summary_finish_root(b, smf_test_streams_Summary_end_table(b));
    if (smf_stream_send(stream, b) != SMF_OK)
        exit(3);
    smf_stream_end(stream, SMF_CODE_OK);
}

static void list_on(struct smf_stream *stream, void *context)
{
    struct counts *counts = counts_of(stream);

    (void)context;
    while (counts->done < counts->wanted) {
        int status = send_entry(stream, counts->done);

        if (status == SMF_ELIMIT || status == SMF_ENOMEM)
            return;
        if (status != SMF_OK)
            exit(4);
        counts->done++;
    }
    smf_stream_end(stream, SMF_CODE_OK);
}

static uint32_t open_list(struct smf_stream *stream, const struct smf_test_streams_Query *query,
                          void *context)
{
    if (smf_test_streams_Query_count(query) == 0)
        return smf_stream_fail(stream, SMF_CODE_NOT_FOUND,
                               &(struct smf_failure){.message = "none of these"});
    begin(stream);
    counts_of(stream)->wanted = smf_test_streams_Query_count(query);
    list_on(stream, context);
    return SMF_CODE_OK;
}

static void on_entry(struct smf_stream *stream, const struct smf_test_streams_Entry *entry,
                     void *context)
{
    int status = send_entry(stream, smf_test_streams_Entry_number(entry) + 1);

    (void)context;
    if (status == SMF_ELIMIT || status == SMF_ENOMEM)
        smf_stream_hold(stream);
    else if (status != SMF_OK)
        exit(5);
}

/* The builder has what was not sent. */
static void echo_on(struct smf_stream *stream, void *context)
{
    (void)context;
    if (smf_flat_payload(smf_stream_builder(stream)) != NULL && send_entry(stream, 0) != SMF_OK)
        return;
    smf_stream_release(stream);
}

static void on_last_entry(struct smf_stream *stream, void *context)
{
    (void)context;
    smf_stream_end(stream, SMF_CODE_OK);
}

static void on_end(struct smf_stream *stream, uint32_t code, void *context)
{
    (void)code;
    (void)context;
    free(smf_stream_user(stream));
}

/* A method of the same service that does not stream. */
static uint32_t stat_entry(struct smf_call *call, const struct smf_test_streams_Query *query,
                           void *context)
{
    struct smf_flat_builder *b = &call->reply;
    struct smf_flat_string_ref name =
        smf_flat_build_copy(b, smf_test_streams_Query_prefix(query));

    (void)context;
    smf_test_streams_Entry_start_table(b);
    smf_test_streams_Entry_add_name(b, name);
    smf_test_streams_Entry_add_number(b, smf_test_streams_Query_count(query));
    smf_test_streams_Entry_finish_root(b, smf_test_streams_Entry_end_table(b));
    return SMF_CODE_OK;
}

static void serve(struct smf_engine *engine)
{
    static struct smf_test_streams_Store_server store;
    struct smf_router *router;
    struct smf_error error;
    char bound[128];

    store.Stat = stat_entry;
    store.Upload.open = open_any;
    store.Upload.message = on_part;
    store.Upload.half_closed = on_last_part;
    store.Upload.ended = on_end;
    store.List.open = open_list;
    store.List.writable = list_on;
    store.List.ended = on_end;
    store.Sync.open = open_any;
    store.Sync.message = on_entry;
    store.Sync.half_closed = on_last_entry;
    store.Sync.writable = echo_on;
    store.Sync.ended = on_end;
    if (smf_router_open(&router) != SMF_OK ||
        smf_test_streams_Store_serve(router, &store, &error) != SMF_OK ||
        smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error) != SMF_OK)
        exit(6);
    printf("%s\n", bound);
    fflush(stdout);
    (void)smf_core_run(core, smf_router_handle, router);
    smf_router_close(router);
}

/* Calling. */

static int left = 5;
static uint64_t parts_sent, entries, sum, rounds;

static void over(void)
{
    if (--left == 0)
        smf_core_stop(core);
}

static void upload_on(struct smf_stream *stream, void *context)
{
    static const uint8_t bytes[PART_SIZE_BYTES];
    struct smf_flat_builder *b = smf_stream_builder(stream);

    (void)context;
    for (; parts_sent < PARTS; parts_sent++) {
        int status;

        if (smf_flat_payload(b) == NULL) {
            struct smf_flat_u8_vector_ref ref = smf_flat_build_u8_vector(b, bytes, sizeof bytes);

            smf_test_streams_Part_start_table(b);
            smf_test_streams_Part_add_bytes(b, ref);
            smf_test_streams_Part_finish_root(b, smf_test_streams_Part_end_table(b));
        }
        status = smf_stream_send(stream, b);
        if (status == SMF_ELIMIT || status == SMF_ENOMEM)
            return;
        if (status != SMF_OK)
            exit(7);
    }
    if (smf_stream_close(stream) != SMF_OK)
        exit(8);
}

static void uploaded(struct smf_stream *stream, const struct smf_result *result,
                     const struct smf_test_streams_Summary *summary, void *context)
{
    (void)stream;
    (void)context;
    if (summary == NULL)
        printf("upload: %s %u\n", smf_status_name(result->status), result->code);
    else
        printf("upload: %llu parts, %llu bytes\n",
               (unsigned long long)smf_test_streams_Summary_parts(summary),
               (unsigned long long)smf_test_streams_Summary_size(summary));
    over();
}

static void listed(struct smf_stream *stream, const struct smf_test_streams_Entry *entry,
                   void *context)
{
    (void)stream;
    (void)context;
    entries++;
    sum += smf_test_streams_Entry_number(entry);
}

static void list_ended(struct smf_stream *stream, const struct smf_result *result, void *context)
{
    (void)stream;
    (void)context;
    printf("list: %llu entries, %llu, %s %u\n", (unsigned long long)entries,
           (unsigned long long)sum, smf_status_name(result->status), result->code);
    over();
}

static void none_ended(struct smf_stream *stream, const struct smf_result *result, void *context)
{
    (void)stream;
    (void)context;
    printf("none: %s %u %s\n", smf_status_name(result->status), result->code,
           result->message.data);
    over();
}

static void synced(struct smf_stream *stream, const struct smf_test_streams_Entry *entry,
                   void *context)
{
    (void)context;
    if (smf_test_streams_Entry_number(entry) != rounds + 1)
        exit(9);
    rounds++;
    if (rounds == ROUNDS ? smf_stream_close(stream) != SMF_OK
                         : send_entry(stream, rounds) != SMF_OK)
        exit(10);
}

static void sync_ended(struct smf_stream *stream, const struct smf_result *result, void *context)
{
    (void)stream;
    (void)context;
    printf("sync: %llu rounds, %s %u\n", (unsigned long long)rounds,
           smf_status_name(result->status), result->code);
    over();
}

static void stat_answered(const struct smf_result *result,
                          const struct smf_test_streams_Entry *entry, void *context)
{
    (void)context;
    if (entry == NULL)
        printf("stat: %s %u\n", smf_status_name(result->status), result->code);
    else
        printf("stat: %llu\n", (unsigned long long)smf_test_streams_Entry_number(entry));
    over();
}

static void call_stat(struct smf_client *client)
{
    struct smf_flat_string_ref prefix;
    struct smf_flat_builder b;

    smf_flat_builder_init_core(&b, core);
    prefix = smf_flat_build_string(&b, "entry", 5);
    smf_test_streams_Query_start_table(&b);
    smf_test_streams_Query_add_prefix(&b, prefix);
    smf_test_streams_Query_add_count(&b, 77);
    smf_test_streams_Query_finish_root(&b, smf_test_streams_Query_end_table(&b));
    if (smf_test_streams_Store_Stat(client, &b, 0, stat_answered, NULL) != SMF_OK)
        exit(15);
}

static void query(struct smf_client *client, uint64_t count,
                  const struct smf_test_streams_Store_List_caller *caller)
{
    struct smf_flat_builder b;

    smf_flat_builder_init_core(&b, core);
    smf_test_streams_Query_start_table(&b);
    smf_test_streams_Query_add_count(&b, count);
    smf_test_streams_Query_finish_root(&b, smf_test_streams_Query_end_table(&b));
    if (smf_test_streams_Store_List(client, &b, NULL, caller, NULL, NULL) != SMF_OK)
        exit(11);
}

static void call(const char *address)
{
    static const struct smf_test_streams_Store_Upload_caller upload = {upload_on, uploaded};
    static const struct smf_test_streams_Store_List_caller list = {listed, list_ended};
    static const struct smf_test_streams_Store_List_caller none = {NULL, none_ended};
    static const struct smf_test_streams_Store_Sync_caller sync = {synced, NULL, sync_ended};
    struct smf_stream *stream;
    struct smf_client *client;
    struct smf_error error;

    if (smf_client_open(&client, core, 0) != SMF_OK ||
        smf_client_connect_with(client, address, SMF_CONNECT_HELLO, &error) != SMF_OK)
        exit(12);
    if (smf_test_streams_Store_Upload(client, NULL, &upload, NULL, &stream) != SMF_OK)
        exit(13);
    upload_on(stream, NULL);
    call_stat(client);
    query(client, ENTRIES, &list);
    query(client, 0, &none);
    if (smf_test_streams_Store_Sync(client, NULL, &sync, NULL, &stream) != SMF_OK ||
        send_entry(stream, 0) != SMF_OK)
        exit(14);
    (void)smf_core_run(core, smf_client_handle, client);
    smf_client_close(client);
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config;
    struct smf_engine *engine;
    struct smf_error error;

    config.size = sizeof config;
    config.memory_bytes = 32u << 20;
    if (argc < 2 || smf_engine_open(&engine, &config, &error) != SMF_OK)
        return 1;
    core = smf_engine_core(engine, 0);
    signal(SIGTERM, on_signal);
    if (argc > 2 && strcmp(argv[1], "call") == 0)
        call(argv[2]);
    else
        serve(engine);
    smf_engine_close(engine);
    return 0;
}
