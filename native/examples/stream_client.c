/* Calls a method that streams both ways, by the code that smfc --lang c makes of streams.fbs: sends entries as fast as
 * the server takes them, and sums up what comes back.
 *
 *     stream_client [ADDRESS [ENTRIES]]      127.0.0.1:11225 and 10000 when not said
 */
#include <stdio.h>
#include <stdlib.h>

#include <smf/engine.h>

#include "streams.smf.h"

static struct smf_core *core;
static unsigned long count = 10000, sent, got, sum;

/* Sends until the server takes no more, and is called again when it does. */
static void send_on(struct smf_stream *stream, void *context)
{
    struct smf_flat_builder *b = smf_stream_builder(stream);

    (void)context;
    for (; sent < count; sent++) {
        if (smf_flat_payload(b) == NULL) { /* else it has the one that was refused */
            struct smf_flat_string_ref name = smf_flat_build_text(b, "entry");

            smf_test_streams_Entry_start_table(b);
            smf_test_streams_Entry_add_name(b, name);
            smf_test_streams_Entry_add_number(b, sent);
            smf_test_streams_Entry_finish_root(b, smf_test_streams_Entry_end_table(b));
        }
        if (smf_stream_send(stream, b) != SMF_OK)
            return; /* for now, or the stream is over, and ended says why */
    }
    (void)smf_stream_close(stream); /* what is refused here is tried again likewise */
}

static void on_entry(struct smf_stream *stream, const struct smf_test_streams_Entry *entry,
                     void *context)
{
    (void)stream, (void)context;
    got++;
    sum += smf_test_streams_Entry_number(entry);
}

static void ended(struct smf_stream *stream, const struct smf_result *result, void *context)
{
    (void)stream, (void)context;
    printf("%lu entries, %lu in all: %s %u\n", got, sum, smf_status_name(result->status),
           result->code);
    smf_core_stop(core);
}

int main(int argc, char **argv)
{
    static const struct smf_test_streams_Store_Sync_caller caller = {on_entry, send_on, ended};
    static struct smf_engine_config config; /* zero: the defaults */
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:11225";
    struct smf_engine *engine;
    struct smf_client *client;
    struct smf_stream *stream;
    struct smf_error error = {SMF_ENOMEM, 0, "no memory"}; /* of functions that fill none */

    config.size = sizeof config;
    if (argc > 2)
        count = strtoul(argv[2], NULL, 10);
    if (smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_client_open(&client, core = smf_engine_core(engine, 0), 0) != SMF_OK ||
        smf_client_connect_with(client, address, SMF_CONNECT_HELLO, &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    if (smf_test_streams_Store_Sync(client, NULL, &caller, NULL, &stream) != SMF_OK)
        return 1;
    send_on(stream, NULL);
    (void)smf_core_run(core, smf_client_handle, client);
    smf_client_close(client);
    smf_engine_close(engine);
    return 0;
}
