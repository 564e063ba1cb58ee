/* What filters cost: the way of a request through a router, from the event to the reply in the loan, with
 * functions that do nothing and 0 to 16 of them around the handler.
 *
 *   smf-bench-filter-probe [ROUNDS]      20
 *
 * Rounds of the stacks alternate; prints the median of each in nanoseconds a call, with the spread. Nothing is
 * sent: the connection is none, and the replies are dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <smf/engine.h>
#include <smf/filter.h>

#define BATCH 1000u
#define BATCHES 200u /* of a round */
#define ROUNDS_DEFAULT 20
#define ROUNDS_MAX 1000
#define ID 1001u

static const struct smf_flat_table table = {"Nothing", NULL, 0, 0};
static const struct smf_method method = {"Call", "a.Nothing", "a.Nothing", &table,
                                         &table, ID,          0,           0};
static const uint8_t request[] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0}; /* an empty table */

static int dispatch(const void *server, struct smf_core *core, const struct smf_event *event)
{
    struct smf_call call;

    (void)server;
    call.problem = NULL;
    call.context = NULL;
    if (smf_call_begin(&call, core, event, &method, 1, 0) != NULL)
        smf_call_end(&call, SMF_CODE_OK);
    return 1;
}

static const struct smf_service service = {
    "Nothings", "a.Nothings", "nothings.fbs", &method, 1, SMF_GENERATED_VERSION, dispatch};

static uint32_t on_request(struct smf_filter_call *call, void *context)
{
    (void)call;
    (void)context;
    return 0;
}

static void on_reply(struct smf_filter_call *call, void *context)
{
    (void)call;
    (void)context;
}

static void require(int status, const struct smf_error *error)
{
    if (status == SMF_OK)
        return;
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

static struct smf_router *router_with(uint32_t filters)
{
    const struct smf_filter filter = {
        .size = sizeof filter, .request = on_request, .reply = on_reply, .done = on_reply};
    struct smf_error error = {0};
    struct smf_router *router;

    require(smf_router_open(&router), &error);
    require(smf_router_add(router, &service, &service, &error), &error);
    for (uint32_t i = 0; i < filters; i++)
        require(smf_router_filter(router, NULL, NULL, &filter, &error), &error);
    return router;
}

static double round_ns(struct smf_core *core, struct smf_router *router)
{
    const struct smf_event event = {.kind = SMF_EVENT_REQUEST,
                                    .session = 1,
                                    .meta = ID,
                                    .size_bytes = sizeof request,
                                    .payload = request};
    struct timespec from, to;
    double ns = 0;

    for (uint32_t i = 0; i < BATCHES; i++) {
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        for (uint32_t k = 0; k < BATCH; k++)
            smf_router_handle(core, &event, router);
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        ns += (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
        (void)smf_core_poll(core, SMF_WAIT_NONE);
    }
    return ns / BATCH / BATCHES;
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;

    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
    static const uint32_t counts[] = {0, 1, 2, 4, 16};
    enum { STACKS = sizeof counts / sizeof *counts };
    static double ns[STACKS][ROUNDS_MAX];
    struct smf_engine_config config = {.size = sizeof config, .cores = 1};
    struct smf_router *routers[STACKS];
    struct smf_engine *engine;
    struct smf_error error;
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : ROUNDS_DEFAULT;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "%s: rounds are 1 to %d\n", argv[0], ROUNDS_MAX);
        return 2;
    }
    require(smf_engine_open(&engine, &config, &error), &error);
    for (int i = 0; i < STACKS; i++)
        routers[i] = router_with(counts[i]);
    for (int round = -1; round < rounds; round++) { /* the first one warms up */
        for (int i = 0; i < STACKS; i++)
            ns[i][round < 0 ? 0 : round] = round_ns(smf_engine_core(engine, 0), routers[i]);
    }
    for (int i = 0; i < STACKS; i++) {
        qsort(ns[i], (size_t)rounds, sizeof ns[i][0], compare);
        printf("%2u filters: %6.1f ns a call (%.1f to %.1f)\n", counts[i], ns[i][rounds / 2],
               ns[i][0], ns[i][rounds - 1]);
        smf_router_close(routers[i]);
    }
    smf_engine_close(engine);
    return 0;
}
