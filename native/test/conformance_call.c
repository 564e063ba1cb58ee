/* The client of the conformance suite in C: it reads a row's steps, and says what came of each. */
#include "conformance_call.h"

#include "streams.smf.h"

#define PAUSE_TURNS 5 /* in which what was begun leaves */

static struct {
    struct conformance_place *place;
    struct smf_client *client;
    int connected, closed;
    uint32_t level, closed_reason;
    int pong; /* 1: came */
    struct asked background[ASKED_MAX];
    int background_count;
} now;

char *conformance_pattern(size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        conformance_fail("a text", "no memory");
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i % 251 % 26);
    text[size] = '\0';
    return text;
}

__attribute__((format(printf, 2, 3))) void conformance_add(char *line, const char *format, ...)
{
    size_t used = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line + used, OUTCOME_BYTES_MAX - used, format, arguments);
    va_end(arguments);
}

/* A text as a line shows it. */
void conformance_add_brief(char *line, const char *name, const void *data, size_t size)
{
    uint32_t hash = 0x811c9dc5u;

    if (size <= 64) {
        conformance_add(line, "%s\"%.*s\"", name, (int)size, (const char *)data);
        return;
    }
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x01000193u;
    conformance_add(line, "%s%zu:%08x", name, size, hash);
}

/* Reading steps. */

static void read_details(struct step *step, const char *value)
{
    for (; value[0] != '\0' && value[1] != '\0'; value += 2) {
        char digits[3] = {value[0], value[1], '\0'};

        step->details[step->details_size++] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static void read_word(struct step *step, char *word)
{
    char *value = strchr(word, '=');

    if (value != NULL)
        *value++ = '\0';
    else
        value = word + strlen(word);
    if (strcmp(word, "text") == 0) {
        step->text = *value == '*' ? conformance_pattern(strtoul(value + 1, NULL, 10)) : value;
        step->text_size = strlen(step->text);
    } else if (strcmp(word, "code") == 0) {
        step->code = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(word, "retry") == 0) {
        step->retry_after_ms = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(word, "size") == 0) {
        step->size_bytes = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(word, "timeout") == 0) {
        step->timeout_ms = strtoul(value, NULL, 10);
    } else if (strcmp(word, "count") == 0) {
        step->count = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(word, "repeat") == 0) {
        step->repeat = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(word, "on") == 0) {
        step->on = value;
    } else if (strcmp(word, "details") == 0) {
        read_details(step, value);
    } else if (strcmp(word, "type") == 0) {
        step->details_type = value;
    } else if (strcmp(word, "meta") == 0 && step->meta_count < META_MAX) {
        step->meta[step->meta_count++] = value;
    } else if (strcmp(word, "until") == 0) {
        step->until = value;
    } else if (strcmp(word, "show") == 0) {
        step->show = value;
    } else if (strcmp(word, "oneway") == 0) {
        step->one_way = 1;
    } else if (strcmp(word, "background") == 0) {
        step->background = 1;
    } else if (strcmp(word, "insist") == 0) {
        step->insist = 1;
    } else if (strcmp(word, "malformed") == 0) {
        step->malformed = 1;
    } else {
        conformance_fail("no such word in a step", word);
    }
}

static void read_step(struct step *step, char *text)
{
    char *rest, *word = strtok_r(text, " ", &rest);

    memset(step, 0, sizeof *step);
    step->method = word != NULL ? word : "";
    step->details_type = step->until = step->show = step->on = "";
    if (strcmp(step->method, "open") == 0)
        step->stream = strtok_r(NULL, " ", &rest);
    step->timeout_ms = CONFORMANCE_PATIENCE_NS / 1000000;
    while ((word = strtok_r(NULL, " ", &rest)) != NULL)
        read_word(step, word);
}

/* What came of a call. */

void conformance_add_error(struct asked *asked, uint32_t code, const struct smf_result *result)
{
    const char *show = asked->step.show;

    conformance_add(asked->outcome, "%u", code);
    if (strcmp(show, "code") == 0)
        return;
    if (*show == '\0' && result != NULL) {
        if (result->message.size_bytes > 0)
            conformance_add_brief(asked->outcome, " message=", result->message.data,
                                  result->message.size_bytes);
        if (result->details.count > 0)
            conformance_add(asked->outcome, " details=");
        for (uint32_t i = 0; i < result->details.count; i++)
            conformance_add(asked->outcome, "%02x", result->details.data[i]);
        if (result->details_type.size_bytes > 0)
            conformance_add_brief(asked->outcome, " type=", result->details_type.data,
                                  result->details_type.size_bytes);
        if (result->retry_after_ms != 0)
            conformance_add(asked->outcome, " retry=%u", result->retry_after_ms);
    }
    conformance_add(asked->outcome,
                    result != NULL && result->may_have_run ? " may_have_run" : " has_not_run");
}

/* The code that a status stands for, where no answer came. */
uint32_t conformance_code_of(int status)
{
    switch (status) {
    case SMF_ETIMEOUT:
        return SMF_CODE_DEADLINE;
    case SMF_ECANCELLED:
        return SMF_CODE_CANCELLED;
    case SMF_ELIMIT:
        return SMF_CODE_LIMIT;
    case SMF_EUNSUPPORTED:
        return SMF_CODE_LEVEL;
    case SMF_EINVAL:
        return SMF_CODE_BAD_REQUEST;
    default:
        return SMF_CODE_UNAVAILABLE;
    }
}

static void add_answer(struct asked *asked, const struct smf_result *result, const void *reply)
{
    const struct smf_gen_conformance_Answer *table = reply;
    struct smf_flat_string text = smf_gen_conformance_Answer_text(table);
    uint64_t number = smf_gen_conformance_Answer_number(table);
    struct smf_metadata_entry entry;
    struct smf_metadata block;
    uint32_t cursor = 0;

    conformance_add(asked->outcome, "200");
    if (text.size_bytes > 0)
        conformance_add_brief(asked->outcome, " text=", text.data, text.size_bytes);
    if (number != 0)
        conformance_add(asked->outcome, " number=%llu", (unsigned long long)number);
    if (text.size_bytes > 0)
        snprintf(asked->said, sizeof asked->said, "%.*s",
                 (int)(text.size_bytes < 31 ? text.size_bytes : 31), text.data);
    else
        snprintf(asked->said, sizeof asked->said, "%llu", (unsigned long long)number);
    (void)smf_result_metadata(result, &block);
    while (smf_metadata_next(&block, &cursor, &entry)) {
        conformance_add(asked->outcome, " %.*s:", entry.key_size_bytes, entry.key);
        conformance_add_brief(asked->outcome, "", entry.value, entry.value_size_bytes);
    }
}

static void deliver(const struct smf_result *result, const void *reply,
                    smf_client_callback callback, void *context)
{
    struct asked *asked = context;

    (void)callback;
    asked->done = 1;
    if (result->status == SMF_OK && result->code == SMF_CODE_OK && reply != NULL)
        add_answer(asked, result, reply);
    else if (result->status == SMF_EUNSUPPORTED) /* a compressed reply */
        conformance_add_error(asked, SMF_CODE_NOT_IMPLEMENTED, result);
    else if (result->status == SMF_ELIMIT) /* one that becomes too large */
        conformance_add_error(asked, SMF_CODE_TOO_LARGE, result);
    else
        conformance_add_error(
            asked, result->status == SMF_OK ? result->code : conformance_code_of(result->status),
            result);
}

/* Making calls. */

const struct smf_method *conformance_method_of(const char *name)
{
    static const struct smf_method nobody = {.name = "Nobody",
                                             .in = &smf_gen_conformance_Question_layout,
                                             .out = &smf_gen_conformance_Answer_layout,
                                             .id = 1};
    static const struct smf_service *const services[] = {&smf_gen_conformance_Conformance_service,
                                                         &smf_gen_conformance_Streams_service};

    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < services[k]->method_count; i++) {
            if (strcmp(services[k]->methods[i].name, name) == 0)
                return &services[k]->methods[i];
        }
    }
    return &nobody;
}

void conformance_build(struct smf_flat_builder *b, const struct step *step)
{
    struct smf_flat_string_ref text = {0}, type = {0};
    struct smf_flat_u8_vector_ref details = {0};

    smf_flat_builder_init_core(b, now.place->core);
    if (step->malformed) { /* a table whose text lies nowhere */
        smf_flat_start_table(b, 6);
        smf_flat_put_u32(b, 4, 0x7fffffff);
        (void)smf_flat_finish(b, smf_flat_end_table(b, NULL, 0), NULL);
        return;
    }
    if (step->text_size > 0)
        text = smf_flat_build_string(b, step->text, step->text_size);
    if (*step->details_type != '\0')
        type = smf_flat_build_string(b, step->details_type, strlen(step->details_type));
    if (step->details_size > 0)
        details = smf_flat_build_u8_vector(b, step->details, step->details_size);
    smf_gen_conformance_Question_start_table(b);
    if (step->text_size > 0)
        smf_gen_conformance_Question_add_text(b, text);
    if (*step->details_type != '\0')
        smf_gen_conformance_Question_add_details_type(b, type);
    if (step->details_size > 0)
        smf_gen_conformance_Question_add_details(b, details);
    smf_gen_conformance_Question_add_code(b, step->code);
    smf_gen_conformance_Question_add_retry_after_ms(b, step->retry_after_ms);
    smf_gen_conformance_Question_add_size_bytes(b, step->size_bytes);
    smf_gen_conformance_Question_add_count(b, step->count);
    smf_gen_conformance_Question_finish_root(b, smf_gen_conformance_Question_end_table(b));
}

int conformance_write_metadata(const struct step *step, uint8_t *bytes, uint32_t *size_out)
{
    struct smf_metadata_writer writer;

    *size_out = 0;
    if (step->meta_count == 0)
        return SMF_OK;
    smf_metadata_begin(&writer, bytes, SMF_METADATA_SIZE_BYTES_MAX, 0);
    for (int i = 0; i < step->meta_count; i++) {
        const char *key = step->meta[i], *value = strchr(key, ':') + 1;
        char *made = *value == '*' ? conformance_pattern(strtoul(value + 1, NULL, 10)) : NULL;
        const char *sent = made != NULL ? made : value;

        (void)smf_metadata_add(&writer, key, (size_t)(value - 1 - key), sent, strlen(sent));
        free(made);
    }
    return smf_metadata_end(&writer, size_out);
}

static void begin(struct asked *asked)
{
    static uint8_t metadata[SMF_METADATA_SIZE_BYTES_MAX];
    const struct step *step = &asked->step;
    struct smf_call_options options = {.size = sizeof options, .call_out = &asked->call};
    struct smf_flat_builder request;
    int status;

    asked->outcome[0] = '\0';
    asked->done = 0;
    asked->call = 0;
    status = conformance_write_metadata(step, metadata, &options.metadata_size_bytes);
    if (status != SMF_OK) {
        asked->done = 1;
        conformance_add_error(asked, SMF_CODE_BAD_REQUEST, NULL);
        return;
    }
    options.metadata = options.metadata_size_bytes == 0 ? NULL : metadata;
    options.flags = step->one_way ? SMF_CALL_ONE_WAY : 0;
    options.timeout_us = step->timeout_ms == 0 ? SMF_CLIENT_NO_TIMEOUT : step->timeout_ms * 1000;
    conformance_build(&request, step);
    status = smf_client_call_with(now.client, conformance_method_of(step->method), &request,
                                  &options, step->one_way ? NULL : deliver, NULL, asked);
    smf_flat_builder_fini(&request);
    if (status != SMF_OK) {
        asked->done = 1;
        conformance_add_error(asked, conformance_code_of(status), NULL);
    } else if (step->one_way) {
        asked->done = 1;
        conformance_add(asked->outcome, "200");
    }
}

uint64_t conformance_now_ns(void)
{
    return smf_core_turn(now.place->core)->now_ns;
}

void conformance_step_once(void)
{
    now.place->step(now.place);
}

void conformance_step_until(const int *done)
{
    uint64_t end_ns = smf_core_turn(now.place->core)->now_ns + 2 * CONFORMANCE_PATIENCE_NS;

    while (!*done) {
        now.place->step(now.place);
        if (smf_core_turn(now.place->core)->now_ns > end_ns)
            conformance_fail("a step", "nothing came of it");
    }
}

/* Whether a row waits for something else to be said. */
static int again(const struct asked *asked)
{
    if (asked->said[0] == '\0')
        return asked->step.insist;
    return *asked->step.until != '\0' && strcmp(asked->said, asked->step.until) != 0;
}

static void ask(struct asked *asked)
{
    uint64_t end_ns = smf_core_turn(now.place->core)->now_ns + CONFORMANCE_PATIENCE_NS;

    do {
        asked->said[0] = '\0';
        begin(asked);
        conformance_step_until(&asked->done);
    } while (smf_core_turn(now.place->core)->now_ns < end_ns && again(asked));
}

static void ponged(int status, void *context)
{
    (void)context;
    now.pong = status == SMF_OK ? 1 : -1;
}

static void ping(char *outcome)
{
    int status = smf_client_ping(now.client, ponged, NULL);

    now.pong = 0;
    if (status == SMF_OK)
        conformance_step_until(&now.pong);
    conformance_add(outcome, "%u", now.pong == 1 ? SMF_CODE_OK : conformance_code_of(status));
}

/* Runs a step, if it is of a stream. */
static int run_stream_step(struct asked *asked, char *outcome)
{
    struct asked *kept = asked;
    int what;

    if (asked->step.background) {
        if (now.background_count == ASKED_MAX)
            conformance_fail("a row", "too much in the background");
        kept = &now.background[now.background_count];
        *kept = *asked;
    }
    kept->outcome[0] = '\0';
    kept->done = 0;
    what = conformance_stream_step(now.client, kept);
    if (what == 0)
        return 0;
    now.background_count += asked->step.background;
    if (!asked->step.background)
        conformance_step_until(&kept->done);
    conformance_add(outcome, "%s", asked->step.background ? "begun" : kept->outcome);
    return 1;
}

static void run_step(char *text, char *outcome)
{
    static struct asked asked;

    read_step(&asked.step, text);
    if (run_stream_step(&asked, outcome)) {
        if (asked.step.background)
            return; /* its text is still sent */
    } else if (strcmp(asked.step.method, "ping") == 0) {
        ping(outcome);
    } else if (strcmp(asked.step.method, "level") == 0) {
        conformance_add(outcome, "%u", now.level);
    } else if (strcmp(asked.step.method, "pause") == 0) {
        for (int i = 0; i < PAUSE_TURNS; i++)
            now.place->step(now.place);
        conformance_add(outcome, "done");
    } else if (strcmp(asked.step.method, "cancel") == 0) {
        for (int i = 0; i < now.background_count; i++)
            (void)smf_client_cancel(now.client, now.background[i].call);
        conformance_add(outcome, "done");
    } else if (strcmp(asked.step.method, "all") == 0) {
        for (int i = 0; i < now.background_count; i++) {
            conformance_step_until(&now.background[i].done);
            conformance_add(outcome, "%s%s", i > 0 ? ", " : "", now.background[i].outcome);
        }
    } else if (asked.step.background) {
        if (now.background_count == ASKED_MAX)
            conformance_fail("a row", "too much in the background");
        now.background[now.background_count].step = asked.step;
        begin(&now.background[now.background_count++]);
        now.place->step(now.place); /* what is sent in one turn may leave in another order */
        conformance_add(outcome, "begun");
    } else {
        ask(&asked);
        conformance_add(outcome, "%s", asked.outcome);
    }
    if (asked.step.text != NULL && asked.step.text_size > 256)
        free(asked.step.text);
}

/* Connections. */

void conformance_event(const struct smf_event *event)
{
    if (now.client == NULL)
        return;
    if (event->conn == smf_client_conn(now.client)) {
        if (event->kind == SMF_EVENT_CONNECTED) {
            now.connected = 1;
            now.level = event->level;
        } else if (event->kind == SMF_EVENT_CLOSED) {
            now.closed = 1;
            now.closed_reason = event->meta;
        }
    }
    (void)smf_client_take(now.client, event);
}

static int connect_to(const char *address, uint32_t flags)
{
    struct smf_error error = {0};
    int ended = 0;

    now.connected = now.closed = 0;
    if (smf_client_connect_with(now.client, address, flags, &error) != SMF_OK)
        conformance_fail("connecting", error.text);
    while (!ended) {
        now.place->step(now.place);
        ended = now.connected || now.closed;
    }
    return now.connected;
}

static int connect_as(const char *level, const char *address)
{
    int level1 = 0;

    if (strcmp(level, "1") == 0) {
        (void)connect_to(address, 0);
    } else if (!connect_to(address, SMF_CONNECT_HELLO)) {
        level1 = now.closed_reason == SMF_CLOSE_NOT_LEVEL2 ||
                 now.closed_reason == SMF_CLOSE_HELLO_TIMEOUT;
        if (level1 && strcmp(level, "any") == 0)
            (void)connect_to(address, 0);
    }
    if (!now.connected)
        printf("no connection %u", level1 ? SMF_CODE_LEVEL : SMF_CODE_UNAVAILABLE);
    return now.connected;
}

/* Of a level that is followed by a compression, which is cut off. */
static void add_filter(char *level)
{
    char *compression = strchr(level, '+');
    struct smf_error error;

    if (compression == NULL)
        return;
    *compression++ = '\0';
    if (smf_client_filter(now.client, conformance_filter(compression), &error) != SMF_OK)
        conformance_fail("a filter", error.text);
}

void conformance_row(struct conformance_place *place, char *line)
{
    static char outcome[OUTCOME_BYTES_MAX];
    char *rest, *next, *level = strtok_r(line, " ", &rest), *address = strtok_r(NULL, " ", &rest);

    memset(&now, 0, sizeof now);
    now.place = place;
    if (address == NULL || smf_client_open(&now.client, place->core, 0) != SMF_OK)
        conformance_fail("a row", "LEVEL ADDRESS STEPS are expected");
    add_filter(level);
    if (!connect_as(level, address))
        *rest = '\0';
    for (char *step = strtok_r(rest, ";", &next); step != NULL; step = strtok_r(NULL, ";", &next)) {
        outcome[0] = '\0';
        run_step(step, outcome);
        printf("%s%s", step == rest ? "" : "; ", outcome);
    }
    printf("\n");
    fflush(stdout);
    smf_client_close(now.client);
    now.client = NULL;
    conformance_streams_reset();
    (void)smf_core_poll(place->core, SMF_WAIT_NONE); /* the server hears of it */
}
