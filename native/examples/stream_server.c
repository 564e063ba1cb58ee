/* A method that streams both ways, by the code that smfc --lang c makes of streams.fbs: Sync answers each entry with
 * the next number.      stream_server [ADDRESS]      :11225 when not said */
#include "streams.smf.h"
#include <signal.h>
#include <smf/engine.h>
#include <stdio.h>

static struct smf_core *core;

static void on_signal(int number)
{
    (void)number;
    smf_core_stop(core); /* NOLINT(bugprone-signal-handler): it is made for that */
}

static uint32_t open_sync(struct smf_stream *stream, void *context)
{
    return (void)stream, (void)context, SMF_CODE_OK;
}

static void send_or_hold(struct smf_stream *stream, void *context)
{
    int status = smf_stream_send(stream, smf_stream_builder(stream));

    (void)context;
    if (status == SMF_OK)
        smf_stream_release(stream);
    else if (status == SMF_ELIMIT)
        smf_stream_hold(stream); /* it waits in the builder, and no more entries come */
    else
        smf_stream_end(stream, SMF_CODE_UNAVAILABLE);
}

static void on_entry(struct smf_stream *stream, const struct smf_test_streams_Entry *in, void *to)
{
    struct smf_flat_builder *b = smf_stream_builder(stream);
    struct smf_flat_string_ref name = smf_flat_build_copy(b, smf_test_streams_Entry_name(in));

    smf_test_streams_Entry_start_table(b);
    smf_test_streams_Entry_add_name(b, name);
    smf_test_streams_Entry_add_number(b, smf_test_streams_Entry_number(in) + 1);
    smf_test_streams_Entry_finish_root(b, smf_test_streams_Entry_end_table(b));
    send_or_hold(stream, to);
}

static void on_last(struct smf_stream *stream, void *context)
{
    (void)context;
    smf_stream_end(stream, SMF_CODE_OK);
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config;               /* zero: the defaults */
    static struct smf_test_streams_Store_server handlers; /* zero: not implemented */
    struct smf_engine *engine;
    struct smf_router *router;
    struct smf_error error = {SMF_ENOMEM, 0, "no memory"}; /* of functions that fill none */
    char bound[128];

    config.size = sizeof config;
    handlers.Sync.open = open_sync;
    handlers.Sync.message = on_entry;
    handlers.Sync.half_closed = on_last;
    handlers.Sync.writable = send_or_hold;
    if (smf_router_open(&router) != SMF_OK ||
        smf_test_streams_Store_serve(router, &handlers, &error) != SMF_OK ||
        smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_engine_listen(engine, argc > 1 ? argv[1] : ":11225", bound, 128, &error) != SMF_OK)
        return fprintf(stderr, "%s\n", error.text) != 0;
    core = smf_engine_core(engine, 0);
    signal(SIGTERM, on_signal);
    printf("listening on %s\n", bound);
    fflush(stdout);
    (void)smf_core_run(core, smf_router_handle, router);
    smf_engine_close(engine);
    smf_router_close(router);
    return 0;
}
