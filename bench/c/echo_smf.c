/* The library's own loop with handlers in C, through its public API and nothing else: what a Go handler
 * on the same loop is compared with. One core, one thread. */
#include <getopt.h>

#include <smf/core.h>
#include <smf/engine.h>
#include <smf/frame.h>

#include "bench_program.h"
#include "bench_table.h"

static void give_up(int status, const struct smf_error *error)
{
    if (status != SMF_OK) {
        bench_fail("%s: %s", smf_status_name(status), error->text);
    }
}

static void check(int status)
{
    /* The peer's memory ran out or its connection went: the call stays unanswered, and the load
     * client will say so. Anything else is a mistake of this program. */
    if (status == SMF_EINVAL) {
        bench_fail("the library refused a reply");
    }
}

/* Answers with the bytes of the request. */
static void echo_bytes(struct smf_core *core, const struct smf_event *event, void *context)
{
    (void)context;
    if (event->kind == SMF_EVENT_REQUEST) {
        check(smf_core_send(core, event->conn, event->session, 200, event->payload,
                            event->size_bytes));
    }
}

/* Reads the name out of a Request table and builds a Response table where its frame will be. */
static void echo_typed(struct smf_core *core, const struct smf_event *event, void *context)
{
    const uint8_t *name;
    uint32_t name_size;
    uint8_t empty[BENCH_TABLE_EMPTY_SIZE_BYTES];

    (void)context;
    if (event->kind != SMF_EVENT_REQUEST) {
        return;
    }
    const int good = bench_table_name(event->payload, event->size_bytes, &name, &name_size);
    if (!good || name == NULL || event->meta != BENCH_METHOD_GET) {
        bench_table_build_empty(empty);
        const uint32_t status = event->meta != BENCH_METHOD_GET ? 404 : good ? 200 : 400;
        check(smf_core_send(core, event->conn, event->session, status, empty, sizeof(empty)));
        return;
    }
    const uint32_t size_bytes = bench_table_size(name_size);
    uint8_t *payload = smf_core_reserve(core, size_bytes);
    if (payload != NULL) {
        bench_table_build(payload, name, name_size);
        check(smf_core_commit(core, event->conn, event->session, 200, payload, size_bytes));
    }
}

typedef void handler(struct smf_core *core, const struct smf_event *event, void *context);

/* Opens an engine as the arguments say, listens, and says where on standard output. */
static struct smf_engine *engine_open(int port, const struct smf_engine_config *config)
{
    struct smf_engine *engine;
    struct smf_error error;
    char address[32];
    char bound[64];

    give_up(smf_engine_open(&engine, config, &error), &error);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    give_up(smf_engine_listen(engine, address, bound, sizeof(bound), &error), &error);
    printf("listening %s\n%s\n", bound, smf_engine_describe(engine));
    (void)fflush(stdout);
    return engine;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"bytes", no_argument, NULL, 'b'},         {"typed", no_argument, NULL, 't'},
        {"port", required_argument, NULL, 'p'},    {"cpu", required_argument, NULL, 'c'},
        {"spin-us", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    struct smf_engine_config config = {.size = sizeof(config), .cores = 1};
    handler *handle = echo_bytes;
    int port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'b':
            handle = echo_bytes;
            break;
        case 't':
            handle = echo_typed;
            break;
        case 'p':
            port = (int)bench_number("--port", optarg, 0, 65535);
            break;
        case 'c':
            bench_pin((int)bench_number("--cpu", optarg, 0, CPU_SETSIZE - 1));
            break;
        case 's':
            /* 0 is the library's word for its default. */
            config.spin_us = (int32_t)bench_number("--spin-us", optarg, -2, 1000000);
            break;
        default:
            bench_fail("usage: %s [--bytes|--typed] [--port N] [--cpu N] [--spin-us N]\n"
                       "  --port 0: any free one   --spin-us -1: never spin, -2: never sleep",
                       argv[0]);
        }
    }
    struct smf_engine *engine = engine_open(port, &config);
    const int status = smf_core_run(smf_engine_core(engine, 0), handle, NULL);
    smf_engine_close(engine);
    return status != SMF_OK;
}
