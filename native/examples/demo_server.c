/* The demo service in C, by the code that smfc --lang c makes of schema/demo/smf_demo.fbs.
 *
 *     demo_server [ADDRESS]      127.0.0.1:11225 when not said
 */
#include <signal.h>
#include <stdio.h>

#include <smf/engine.h>

#include "smf_demo.smf.h"

static struct smf_core *core;

static void on_signal(int number)
{
    (void)number;
    smf_core_stop(core); /* NOLINT(bugprone-signal-handler): it is made for that */
}

/* Answers with the name that it was asked with. */
static uint32_t get(struct smf_call *call, const struct smf_gen_demo_Request *request,
                    void *context)
{
    struct smf_flat_builder *b = &call->reply;
    struct smf_flat_string_ref name = smf_flat_build_copy(b, smf_gen_demo_Request_name(request));

    ++*(unsigned long *)context;
    smf_gen_demo_Response_start_table(b);
    smf_gen_demo_Response_add_name(b, name);
    smf_gen_demo_Response_finish_root(b, smf_gen_demo_Response_end_table(b));
    return SMF_CODE_OK;
}

/* Refuses: who forgets here is told that somebody else was first. */
static uint32_t forget(struct smf_call *call, const struct smf_gen_demo_Request *request,
                       void *context)
{
    (void)call, (void)request, (void)context;
    return SMF_CODE_CONFLICT;
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config;                /* zero: the defaults */
    static struct smf_gen_demo_SmfStorage_server handlers; /* zero: not implemented */
    static unsigned long calls;
    struct smf_engine *engine;
    struct smf_router *router;
    struct smf_error error = {SMF_ENOMEM, 0, "no memory"}; /* of functions that fill none */
    char bound[128];

    handlers.context = &calls;
    handlers.Get = get;
    handlers.Forget = forget;
    config.size = sizeof config;
    if (smf_router_open(&router) != SMF_OK ||
        smf_gen_demo_SmfStorage_serve(router, &handlers, &error) != SMF_OK ||
        smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_engine_listen(engine, argc > 1 ? argv[1] : "127.0.0.1:11225", bound, sizeof bound,
                          &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    core = smf_engine_core(engine, 0);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on %s\n", bound);
    fflush(stdout);
    (void)smf_core_run(core, smf_router_handle, router);
    printf("%lu calls of Get\n", calls);
    smf_engine_close(engine);
    smf_router_close(router);
    return 0;
}
