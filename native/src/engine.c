/* The one file that knows every room: configuration -> cores -> transports -> listeners. */
#include <smf/engine.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/layout.h>

#include "core/core.h"
#include "core/core_pin.h"
#include "core/core_settings.h"
#include "net/net_ops.h"
#include "rpc/rpc.h"

#define MEMORY_DEFAULT_BYTES (1ull << 30)
#define FRAME_SIZE_DEFAULT_BYTES (16ull << 20)
#define FRAME_SIZE_MAX_BYTES (1ull << 31)
#define UNSENT_DEFAULT_BYTES (64ull << 20)
#define IN_FLIGHT_DEFAULT 4096
#define RUNNING_DEFAULT 65536
#define CONNECTIONS_DEFAULT 65536
#define HEADER_TIMEOUT_DEFAULT_MS 10000
#define BODY_TIMEOUT_DEFAULT_MS 60000
#define SEND_TIMEOUT_DEFAULT_MS 30000
#define LEVEL_DEFAULT 2
#define CREDIT_DEFAULT_BYTES (256u << 10)
#define MESSAGE_SIZE_DEFAULT_BYTES (64ull << 20)
#define MESSAGE_SIZE_MAX_BYTES ((1ull << 32) - 1)
#define DESCRIPTION_SIZE_BYTES 256
#define CONFIG_SIZE_MIN_BYTES 80u /* of SMF_ABI_VERSION 1 when it began; never changes */
#define CONFIG_NAME "smf_engine_config"

struct smf_engine {
    struct smf_engine_config config;
    uint32_t forks; /* before it was opened: see core_fork.h */
    struct smf_core *cores[SMF_CORES_MAX];
    struct smf__group *group; /* NULL: a single core has nobody to share with */
    uint32_t core_count;
    char description[DESCRIPTION_SIZE_BYTES];
};

uint32_t smf_abi_version(void)
{
    return SMF_ABI_VERSION;
}

const char *smf_version(void)
{
    return SMF_VERSION_TEXT;
}

uint32_t smf_layout(uint32_t *values_out, uint32_t capacity)
{
#define VALUE(value) (uint32_t)(value),
    static const uint32_t values[] = {SMF_LAYOUT(VALUE)};
#undef VALUE
    uint32_t count = sizeof values / sizeof values[0];

    memcpy(values_out, values, (count < capacity ? count : capacity) * sizeof values[0]);
    return count;
}

static int refuse(struct smf_error *error_out, const char *text)
{
    return smf__error(error_out, SMF_EINVAL, 0, text);
}

static void fill_defaults(struct smf_engine_config *config)
{
#define DEFAULT(field, value)                                                                      \
    if (config->field == 0)                                                                        \
        config->field = (value);
    DEFAULT(cores, 1)
    DEFAULT(memory_bytes, MEMORY_DEFAULT_BYTES)
    DEFAULT(frame_size_bytes_max, FRAME_SIZE_DEFAULT_BYTES)
    DEFAULT(unsent_bytes_max, UNSENT_DEFAULT_BYTES)
    DEFAULT(in_flight_max, IN_FLIGHT_DEFAULT)
    DEFAULT(running_max, RUNNING_DEFAULT)
    DEFAULT(connections_max, CONNECTIONS_DEFAULT)
    DEFAULT(header_timeout_ms, HEADER_TIMEOUT_DEFAULT_MS)
    DEFAULT(body_timeout_ms, BODY_TIMEOUT_DEFAULT_MS)
    DEFAULT(send_timeout_ms, SEND_TIMEOUT_DEFAULT_MS)
    DEFAULT(level, LEVEL_DEFAULT)
    DEFAULT(credit_bytes, CREDIT_DEFAULT_BYTES)
    DEFAULT(message_size_bytes_max, MESSAGE_SIZE_DEFAULT_BYTES)
#undef DEFAULT
}

static int check_level2(const struct smf_engine_config *config, struct smf_error *error_out)
{
    if (config->level > 2)
        return refuse(error_out, "level: 1, 2, or 0 (the highest: 2)");
    if (config->credit_bytes != 0 && config->credit_bytes < SMF__CREDIT_MIN_BYTES)
        return refuse(error_out, "credit_bytes: at least 64 KiB");
    if (config->credit_bytes > SMF__CREDIT_MAX_BYTES)
        return refuse(error_out, "credit_bytes: at most 1 GiB");
    if (config->compressions & ~SMF__COMPRESSIONS_KNOWN)
        return refuse(error_out, "compressions: bits 1 << SMF_COMPRESSION_ZSTD and 1 << "
                                 "SMF_COMPRESSION_LZ4; nothing else is a compression");
    if (config->message_size_bytes_max > MESSAGE_SIZE_MAX_BYTES)
        return refuse(error_out, "message_size_bytes_max: less than 4 GiB");
    return SMF_OK;
}

static int check_config(const struct smf_engine_config *config, struct smf_error *error_out)
{
    if (config->reserved != 0 || config->reserved2 != 0)
        return smf__settings_unknown(CONFIG_NAME, error_out);
    if (config->cores > SMF_CORES_MAX)
        return refuse(error_out, "cores: at most 256");
    if (config->net > SMF_NET_EPOLL)
        return refuse(error_out, "net: this build knows SMF_NET_AUTO and SMF_NET_EPOLL");
    if (config->baton > 1)
        return refuse(error_out, "baton: 0 or 1");
    if (config->pin > 1)
        return refuse(error_out, "pin: 0 or 1 (for all cores: core i gets the i-th CPU)");
    if (config->spin_us < -2)
        return refuse(error_out, "spin_us: microseconds, 0 (default), -1 (never spin) or -2 (never "
                                 "sleep)");
    if (config->memory_bytes != 0 && config->memory_bytes < SMF__POOL_BUDGET_MIN_BYTES)
        return refuse(error_out, "memory_bytes: at least 8 MiB a core");
    if (config->memory_bytes > SMF__POOL_BUDGET_MAX_BYTES)
        return refuse(error_out, "memory_bytes: at most 64 GiB a core");
    if (config->in_flight_max > SMF__RPC_CALLS_MAX)
        return refuse(error_out, "in_flight_max: at most 1073741824 calls of a connection");
    if (config->running_max > SMF__RPC_CALLS_MAX)
        return refuse(error_out, "running_max: at most 1073741824 calls of a core");
    if (config->frame_size_bytes_max > FRAME_SIZE_MAX_BYTES)
        return refuse(error_out, "frame_size_bytes_max: at most 2 GiB");
    return check_level2(config, error_out);
}

static int open_core(struct smf_engine *engine, int cpu, struct smf_error *error_out)
{
    const struct smf_engine_config *config = &engine->config;
    struct smf__core_config core_config = {.clock = smf__clock_monotonic(),
                                           .memory_bytes = config->memory_bytes,
                                           .spin_us = config->spin_us,
                                           .baton = (int)config->baton,
                                           .cpu = cpu};
    struct smf__rpc_config rpc_config = {
        .frame_size_bytes_max = config->frame_size_bytes_max,
        .unsent_bytes_max = config->unsent_bytes_max,
        .in_flight_max = config->in_flight_max,
        .running_max = config->running_max,
        .connections_max = config->connections_max,
        .header_timeout_ms = config->header_timeout_ms,
        .body_timeout_ms = config->body_timeout_ms,
        .idle_timeout_ms = config->idle_timeout_ms,
        .send_timeout_ms = config->send_timeout_ms,
        .level = config->level,
        .credit_bytes = config->credit_bytes,
        .compressions = config->compressions,
        .message_size_bytes_max = config->message_size_bytes_max,
    };
    struct smf_core *core;
    struct smf__net *net;
    int status = smf__core_open(&core, &core_config, error_out);

    if (status != SMF_OK)
        return status;
    engine->cores[engine->core_count++] = core;
    status = smf__net_epoll_open(&net, error_out);
    if (status != SMF_OK)
        return status;
    status = smf__rpc_open(core, net, &rpc_config, error_out);
    if (status != SMF_OK)
        net->ops->close(net);
    return status;
}

/* From now on the cores share the connections that arrive. */
static int join_cores(struct smf_engine *engine, struct smf_error *error_out)
{
    if (engine->core_count < 2)
        return SMF_OK;
    if (smf__group_open(&engine->group, engine->core_count) != SMF_OK)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for an engine");
    for (uint32_t i = 0; i < engine->core_count; i++)
        smf__rpc_join(smf__rpc_of(engine->cores[i]), engine->group, i);
    return SMF_OK;
}

static void describe(struct smf_engine *engine)
{
    const struct smf_engine_config *config = &engine->config;

    snprintf(engine->description, sizeof engine->description,
             "net=epoll (%s), cores=%u%s, %s, memory=%llu MiB a core",
             config->net == SMF_NET_EPOLL
                 ? "asked for"
                 : "auto: the kernel's sockets; the loop may move between threads",
             config->cores, config->pin ? " pinned" : "",
             config->spin_us == -2   ? "never sleeps"
             : config->spin_us == -1 ? "sleeps at once"
                                     : "spins, then sleeps",
             (unsigned long long)(config->memory_bytes >> 20));
}

static void free_engine(struct smf_engine *engine)
{
    for (uint32_t i = 0; i < engine->core_count; i++)
        smf__core_close(engine->cores[i]);
    smf__group_close(engine->group);
    free(engine);
}

int smf_engine_open(struct smf_engine **engine_out, const struct smf_engine_config *given,
                    struct smf_error *error_out)
{
    struct smf_engine *engine;
    struct smf_engine_config config = {0};
    int cpus[SMF_CORES_MAX], cpu_count, status;

    if (engine_out == NULL || given == NULL)
        return refuse(error_out,
                      "smf_engine_open: engine_out or config is NULL; a config whose size "
                      "is set and that is 0 otherwise means the defaults");
    cpu_count = smf__cpus(cpus, SMF_CORES_MAX);
    status = smf__settings_read(&config, sizeof config, given, CONFIG_SIZE_MIN_BYTES, CONFIG_NAME,
                                error_out);
    if (status == SMF_OK)
        status = check_config(&config, error_out);
    if (status != SMF_OK)
        return status;
    engine = calloc(1, sizeof *engine);
    if (engine == NULL || smf__forks_count() != SMF_OK) {
        free(engine);
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for an engine");
    }
    engine->forks = smf__forks;
    engine->config = config;
    fill_defaults(&engine->config);
    if (config.pin && (uint32_t)cpu_count < engine->config.cores) {
        char text[SMF_ERROR_TEXT_SIZE_BYTES];

        snprintf(
            text, sizeof text,
            "pin: %u cores, but this process may use only %d CPU%s: ask for fewer cores, or do "
            "not pin",
            engine->config.cores, cpu_count, cpu_count == 1 ? "" : "s");
        free_engine(engine);
        return refuse(error_out, text);
    }
    for (uint32_t i = 0; i < engine->config.cores && status == SMF_OK; i++)
        status = open_core(engine, config.pin ? cpus[i] : SMF__CPU_NONE, error_out);
    if (status == SMF_OK)
        status = join_cores(engine, error_out);
    if (status != SMF_OK) {
        free_engine(engine);
        return status;
    }
    describe(engine);
    *engine_out = engine;
    return SMF_OK;
}

void smf_engine_close(struct smf_engine *engine)
{
    if (engine != NULL &&
        engine->forks == smf__forks) /* else its threads are not here, its sockets are in use */
        free_engine(engine);
}

uint32_t smf_engine_core_count(const struct smf_engine *engine)
{
    return engine != NULL ? engine->core_count : 0;
}

struct smf_core *smf_engine_core(struct smf_engine *engine, uint32_t index)
{
    return index < smf_engine_core_count(engine) ? engine->cores[index] : NULL;
}

int smf_engine_listen(struct smf_engine *engine, const char *address, char *bound_out,
                      uint32_t bound_size, struct smf_error *error_out)
{
    struct smf__listener *first = NULL, *listener;

    if (engine == NULL || address == NULL || (bound_out == NULL && bound_size != 0))
        return refuse(error_out, "smf_engine_listen: the engine, the address or bound_out is NULL");
    if (engine->forks != smf__forks)
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    for (uint32_t i = 0; i < engine->core_count; i++) {
        int status = smf__rpc_listen(smf__rpc_of(engine->cores[i]), address, first, &listener,
                                     bound_out, bound_size, error_out);
        if (status != SMF_OK)
            return status; /* what already listens is closed with the engine */
        if (first == NULL)
            first = listener;
    }
    return SMF_OK;
}

int smf_engine_settings(const struct smf_engine *engine, struct smf_engine_config *settings_out)
{
    struct smf_engine_config settings;

    if (engine == NULL || settings_out == NULL)
        return SMF_EINVAL;
    settings = engine->config;
    if (settings.spin_us == 0)
        settings.spin_us = SMF__SPIN_DEFAULT_US;
    return smf__settings_write(settings_out, CONFIG_SIZE_MIN_BYTES, &settings, sizeof settings);
}

const char *smf_engine_describe(const struct smf_engine *engine)
{
    return engine->description;
}
