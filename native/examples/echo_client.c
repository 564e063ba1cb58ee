/* Calls an echo server on the C API: 64 calls in flight, until so many were answered.
 *
 *     echo_client [ADDRESS [CALLS]]      127.0.0.1:11225 and 100000 when not said
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/engine.h>

#define IN_FLIGHT 64u
#define METHOD 1792279101u /* SmfStorage.Get; an echo server answers any */
#define WAIT_US 5000000    /* for the next reply */

static const char text[] = "Hello, smf-world!";

/* Returns 0, or 1 when the connection ended or a reply is not what was sent. */
static int take(const struct smf_event *event, unsigned long *answered)
{
    if (event->kind == SMF_EVENT_CLOSED) {
        int failed = event->meta == SMF_CLOSE_CONNECT_FAILED; /* the session says why */

        fprintf(stderr, "%.*s: %s%s%s\n", (int)event->size_bytes, (const char *)event->payload,
                smf_close_reason_name(event->meta), failed ? ", " : "",
                failed ? smf_status_name(-(int)event->session) : "");
        return 1;
    }
    if (event->kind != SMF_EVENT_REPLY)
        return 0; /* connected */
    ++*answered;
    if (event->meta == 200 && event->size_bytes == sizeof text &&
        memcmp(event->payload, text, sizeof text) == 0)
        return 0;
    fprintf(stderr, "status %u and %u bytes instead of an echo\n", event->meta, event->size_bytes);
    return 1;
}

static int call(struct smf_core *core, uint64_t conn, unsigned long calls)
{
    unsigned long sent = 0, answered = 0;

    while (answered < calls) {
        int count;

        for (; sent < calls && sent - answered < IN_FLIGHT; sent++)
            if (smf_core_send(core, conn, (uint16_t)sent, METHOD, text, sizeof text) != SMF_OK)
                break; /* no room in this turn */
        count = smf_core_poll(core, WAIT_US);
        if (count <= 0) {
            fprintf(stderr, "no reply in five seconds\n");
            return 1;
        }
        for (int i = 0; i < count; i++)
            if (take(&smf_core_turn(core)->events[i], &answered) != 0)
                return 1;
    }
    printf("%lu calls, %lu echoes\n", sent, answered);
    return 0;
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    struct smf_engine *engine;
    struct smf_error error;
    uint64_t conn;
    int status;

    config.size = sizeof config;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_core_connect(smf_engine_core(engine, 0), argc > 1 ? argv[1] : "127.0.0.1:11225", 0,
                         &conn, &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    status = call(smf_engine_core(engine, 0), conn, argc > 2 ? strtoul(argv[2], NULL, 10) : 100000);
    smf_engine_close(engine);
    return status;
}
