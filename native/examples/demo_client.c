/* Calls the demo service in C, by the code that smfc --lang c makes of schema/demo/smf_demo.fbs.
 *
 *     demo_client [ADDRESS [NAME]]      127.0.0.1:11225 and "Hello, smf!" when not said
 */
#include <stdio.h>

#include <smf/engine.h>

#include "smf_demo.smf.h"

#define TIMEOUT_US 5000000 /* of a call */

static struct smf_core *core;
static struct smf_client *client;

/* Tells how a call went; the last one ends the program. */
static void answered(const struct smf_result *result, const struct smf_gen_demo_Response *response,
                     void *context)
{
    const char *method = (const char *)context;

    if (response != NULL)
        printf("%s: %s\n", method, smf_gen_demo_Response_name(response).data);
    else if (result->status == SMF_OK)
        printf("%s: %u %s\n", method, result->code, smf_code_name(result->code));
    else
        printf("%s: %s\n", method, smf_status_name(result->status));
    if (smf_client_in_flight(client) == 0)
        smf_core_stop(core);
}

/* Builds a request in the core's memory, from which it is sent. */
static void build(struct smf_flat_builder *b, const char *text)
{
    struct smf_flat_string_ref name = smf_flat_build_text(b, text);

    smf_gen_demo_Request_start_table(b);
    smf_gen_demo_Request_add_name(b, name);
    smf_gen_demo_Request_finish_root(b, smf_gen_demo_Request_end_table(b));
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    static char get[] = "Get", forget[] = "Forget";
    const char *text = argc > 2 ? argv[2] : "Hello, smf!";
    struct smf_flat_builder first, second;
    struct smf_engine *engine;
    struct smf_error error = {SMF_ENOMEM, 0, "no memory"}; /* of functions that fill none */

    config.size = sizeof config;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    core = smf_engine_core(engine, 0);
    if (smf_client_open(&client, core, 0) != SMF_OK ||
        smf_client_connect(client, argc > 1 ? argv[1] : "127.0.0.1:11225", &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    smf_flat_builder_init_core(&first, core);
    build(&first, text);
    smf_flat_builder_init_core(&second, core);
    build(&second, text);
    if (smf_gen_demo_SmfStorage_Get(client, &first, TIMEOUT_US, answered, get) != SMF_OK ||
        smf_gen_demo_SmfStorage_Forget(client, &second, TIMEOUT_US, answered, forget) != SMF_OK)
        return 1;
    (void)smf_core_run(core, smf_client_handle, client);
    smf_client_close(client);
    smf_engine_close(engine);
    return 0;
}
