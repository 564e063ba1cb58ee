/* A peer of the conformance suite:
 *
 *     conformance serve LEVEL [COMPRESSION]   prints its address; ends when its input does
 *     conformance call                        runs the rows of its input: LEVEL[+COMPRESSION] ADDRESS STEPS
 *     conformance sim LEVEL [COMPRESSION]     the same, with a server of that level, on the simulated network */
#include "conformance.h"

#include <pthread.h>
#include <unistd.h>

#include "test_sim.h"

#ifdef CONFORMANCE_COMPRESS
#include <smf/compress.h>
#endif

#define LINE_BYTES_MAX 16384
#define MEMORY_BYTES (256ull << 20)
#define COMPRESS_MIN 1000u
#define DECOMPRESSED_MAX ((1u << 20) - 1)
#define COMPRESSIONS (1u << SMF_COMPRESSION_ZSTD | 1u << SMF_COMPRESSION_LZ4)

static struct smf_core *serving;

_Noreturn void conformance_fail(const char *what, const char *why)
{
    fprintf(stderr, "conformance: %s: %s\n", what, why);
    exit(1);
}

#ifdef CONFORMANCE_COMPRESS
const struct smf_filter *conformance_filter(const char *compression)
{
    static struct smf_compress
        *made[SMF_COMPRESSION_LZ4 + 1]; /* they live as long as the program */
    uint32_t kind = strcmp(compression, "lz4") == 0 ? SMF_COMPRESSION_LZ4 : SMF_COMPRESSION_ZSTD;
    const struct smf_compress_options options = {.size = sizeof options,
                                                 .compression = kind,
                                                 .size_bytes_min = COMPRESS_MIN,
                                                 .decompressed_size_bytes_max = DECOMPRESSED_MAX};
    struct smf_error error;

    if (made[kind] == NULL && smf_compress_open(&made[kind], &options, &error) != SMF_OK)
        conformance_fail("compression", error.text);
    return smf_compress_filter(made[kind]);
}
#else
const struct smf_filter *conformance_filter(const char *compression)
{
    conformance_fail(compression, "built without libsmf_compress");
}
#endif

static struct smf_core *open_core(struct smf_engine **engine_out, uint32_t level,
                                  uint32_t compressions)
{
    struct smf_engine_config config = {.size = sizeof config,
                                       .spin_us = -1,
                                       .level = level,
                                       .memory_bytes = MEMORY_BYTES,
                                       .compressions = compressions,
                                       .in_flight_max = CONFORMANCE_IN_FLIGHT_MAX,
                                       .message_size_bytes_max = CONFORMANCE_MESSAGE_BYTES_MAX};
    struct smf_error error;

    if (level == 0) { /* a client: as it is by itself */
        config.in_flight_max = 0;
        config.message_size_bytes_max = 0;
    }
    if (smf_engine_open(engine_out, &config, &error) != SMF_OK)
        conformance_fail("opening", error.text);
    return smf_engine_core(*engine_out, 0);
}

static struct smf_router *open_router(const char *compression)
{
    struct smf_router *router;
    struct smf_error error;

    if (smf_router_open(&router) != SMF_OK)
        conformance_fail("a router", "no memory");
    conformance_serve(router);
    if (compression != NULL &&
        smf_router_filter(router, NULL, NULL, conformance_filter(compression), &error) != SMF_OK)
        conformance_fail("a filter", error.text);
    return router;
}

/* Sockets. */

static void *watch_input(void *context)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    smf_core_stop(serving);
    return context;
}

static void serve(uint32_t level, const char *compression)
{
    struct smf_router *router = open_router(compression);
    struct smf_engine *engine;
    struct smf_error error;
    pthread_t watcher;
    char bound[128];

    serving = open_core(&engine, level, compression != NULL ? COMPRESSIONS : 0);
    if (smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error) != SMF_OK)
        conformance_fail("listening", error.text);
    printf("%s\n", bound);
    fflush(stdout);
    if (pthread_create(&watcher, NULL, watch_input, NULL) != 0)
        conformance_fail("a thread", "there is none");
    (void)smf_core_run(serving, smf_router_handle, router);
    (void)pthread_join(watcher, NULL);
    smf_engine_close(engine);
    smf_router_close(router);
}

static void step_sockets(struct conformance_place *place)
{
    int count = smf_core_poll(place->core, 10000);

    for (int i = 0; i < count; i++)
        conformance_event(&smf_core_turn(place->core)->events[i]);
}

static void run_rows(struct conformance_place *place)
{
    static char line[LINE_BYTES_MAX];

    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        conformance_row(place, line);
    }
}

static void call(void)
{
    struct conformance_place place = {.step = step_sockets};
    struct smf_engine *engine;

    place.core = open_core(&engine, 0, COMPRESSIONS); /* each row has its own filters */
    run_rows(&place);
    smf_engine_close(engine);
}

/* The simulated network: each row has a world of its own, and a server. */

static void handle_sim(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    if (core == world->server)
        smf_router_handle(core, event, world->context);
    else
        conformance_event(event);
}

static void step_sim(struct conformance_place *place)
{
    struct world *world = place->context;
    uint64_t until_ns = world->clock.now_ns + WORLD_MS;

    if (!world_step(world, until_ns))
        world->clock.now_ns = until_ns; /* timers of programs are not asked when they are due */
}

static void sim(uint32_t level, const char *compression)
{
    static char line[LINE_BYTES_MAX];
    struct smf_router *router = open_router(compression);

    for (uint64_t seed = 1; fgets(line, sizeof line, stdin) != NULL; seed++) {
        struct smf__rpc_config limits = world_limits();
        struct conformance_place place = {.step = step_sim};
        struct world world;

        limits.level = level;
        limits.compressions = compression != NULL ? COMPRESSIONS : 0;
        limits.in_flight_max = CONFORMANCE_IN_FLIGHT_MAX;
        limits.message_size_bytes_max = CONFORMANCE_MESSAGE_BYTES_MAX;
        world_open(&world, seed, MEMORY_BYTES, &limits);
        smf__rpc_of(world.client)->config.level = 2; /* whatever the server knows */
        world.handle = handle_sim;
        world.context = router;
        place.core = world.client;
        place.context = &world;
        line[strcspn(line, "\n")] = '\0';
        conformance_row(&place, line);
        world_run(&world, 1000); /* the server hears of the end */
        world_close(&world);
    }
    smf_router_close(router);
}

int main(int argc, char **argv)
{
    uint32_t level = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    const char *compression = argc > 3 ? argv[3] : NULL;

    if (argc > 2 && strcmp(argv[1], "serve") == 0)
        serve(level, compression);
    else if (argc > 1 && strcmp(argv[1], "call") == 0)
        call();
    else if (argc > 2 && strcmp(argv[1], "sim") == 0)
        sim(level, compression);
    else
        conformance_fail("usage", "serve LEVEL [COMPRESSION] | call | sim LEVEL [COMPRESSION]");
    return 0;
}
