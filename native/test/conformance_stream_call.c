/* The streams of the conformance suite's client. */
#include "conformance_call.h"

#define OPENED_MAX 8

/* A stream that a row has opened. A message is held until it is asked for, so nothing is taken before. */
struct opened {
    const char *name;
    struct smf_stream *stream; /* NULL: it has ended */
    int one_reply;             /* its only message comes with the end */
    int has;                   /* a message */
    int used;                  /* it was shown: to be released */
    char *text;                /* of the message; owned */
    size_t text_size;          /* of the text */
    uint64_t number;           /* of the message */
    int ended;                 /* its end is known */
    struct smf_result end;     /* how, with copies of what it says */
    char message[256], details[64], details_type[64];
    char metadata[OUTCOME_BYTES_MAX]; /* of the reply */
    struct asked *sending;            /* a step that has not sent everything yet */
    uint32_t left;                    /* messages that it has still to send */
    int closing;                      /* the step closes */
    struct asked *receiving;          /* a step that waits for a message */
    uint32_t received, hash;          /* of recvall */
};

static struct opened streams[OPENED_MAX];
static int stream_count;

static void done(struct asked *asked)
{
    asked->done = 1;
}

static uint32_t hash_on(uint32_t hash, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x01000193u;
    return hash;
}

static void add_end(const struct opened *opened, struct asked *asked)
{
    int status = opened->end.status;

    if (status == SMF_OK && opened->end.code == SMF_CODE_OK)
        conformance_add(asked->outcome, "end");
    else if (status == SMF_EUNSUPPORTED) /* a compressed message */
        conformance_add_error(asked, SMF_CODE_NOT_IMPLEMENTED, &opened->end);
    else
        conformance_add_error(
            asked, status == SMF_OK ? opened->end.code : conformance_code_of(status), &opened->end);
}

static void release(struct opened *opened)
{
    free(opened->text);
    opened->text = NULL;
    opened->has = opened->used = 0;
    if (opened->stream != NULL)
        smf_stream_release(opened->stream);
}

/* Gives what there is to the step that waits for it. Returns 1 when there was something. */
static int show(struct opened *opened)
{
    struct asked *asked = opened->receiving;
    char digits[24];

    if (asked == NULL || (!opened->has && !opened->ended))
        return 0;
    if (strcmp(asked->step.method, "recvall") == 0) {
        if (opened->has) {
            opened->hash = hash_on(opened->hash, opened->text, opened->text_size);
            snprintf(digits, sizeof digits, "%llu;", (unsigned long long)opened->number);
            opened->hash = hash_on(opened->hash, digits, strlen(digits));
            opened->received++;
            opened->used = 1;
            return 1;
        }
        conformance_add(asked->outcome, "%u messages:%08x, ", opened->received, opened->hash);
    }
    opened->receiving = NULL;
    done(asked);
    if (!opened->has) {
        add_end(opened, asked);
        return 1;
    }
    opened->used = 1;
    conformance_add(asked->outcome, "message");
    if (opened->text_size > 0)
        conformance_add_brief(asked->outcome, " text=", opened->text, opened->text_size);
    if (opened->number != 0)
        conformance_add(asked->outcome, " number=%llu", (unsigned long long)opened->number);
    return 1;
}

static void keep_metadata(struct opened *opened, const struct smf_stream *stream)
{
    struct smf_metadata_entry entry;
    struct smf_metadata block;
    uint32_t cursor = 0;

    opened->metadata[0] = '\0';
    (void)smf_stream_metadata(stream, &block);
    while (smf_metadata_next(&block, &cursor, &entry)) {
        conformance_add(opened->metadata, " %.*s:", entry.key_size_bytes, entry.key);
        conformance_add_brief(opened->metadata, "", entry.value, entry.value_size_bytes);
    }
}

static void keep_message(struct opened *opened, const struct smf_gen_conformance_Answer *answer)
{
    struct smf_flat_string text = smf_gen_conformance_Answer_text(answer);

    opened->text = malloc(text.size_bytes + 1u);
    if (opened->text == NULL)
        conformance_fail("a message", "no memory");
    memcpy(opened->text, text.data, text.size_bytes);
    opened->text_size = text.size_bytes;
    opened->number = smf_gen_conformance_Answer_number(answer);
    opened->has = 1;
}

static void keep_end(struct opened *opened, const struct smf_result *result)
{
    opened->end = *result;
    snprintf(opened->message, sizeof opened->message, "%.*s", (int)result->message.size_bytes,
             result->message.data);
    snprintf(opened->details_type, sizeof opened->details_type, "%.*s",
             (int)result->details_type.size_bytes, result->details_type.data);
    if (result->details.count <= sizeof opened->details && result->details.count > 0)
        memcpy(opened->details, result->details.data, result->details.count);
    opened->end.message.data = opened->message;
    opened->end.details_type.data = opened->details_type;
    opened->end.details.data = (const uint8_t *)opened->details;
    opened->ended = 1;
}

/* Sends what a step has still to send. */
static void send_on(struct opened *opened)
{
    struct asked *asked = opened->sending;
    int status = SMF_OK;

    while (asked != NULL && opened->left > 0) {
        struct smf_flat_builder message;

        conformance_build(&message, &asked->step);
        status = smf_stream_send(opened->stream, &message);
        smf_flat_builder_fini(&message);
        if (status == SMF_ELIMIT || status == SMF_ENOMEM)
            return;
        if (status != SMF_OK)
            break;
        opened->left--;
    }
    if (asked != NULL && opened->closing && status == SMF_OK) {
        status = smf_stream_close(opened->stream);
        if (status == SMF_ELIMIT || status == SMF_ENOMEM)
            return;
    }
    if (asked == NULL)
        return;
    opened->sending = NULL;
    done(asked);
    if (status == SMF_OK)
        conformance_add(asked->outcome, "%s", opened->closing ? "closed" : "sent");
    else
        conformance_add_error(
            asked, status == SMF_EINVAL ? SMF_CODE_TOO_LARGE : conformance_code_of(status), NULL);
}

static uint32_t on_stream(struct smf_stream *stream, uint32_t what, const void *handlers,
                          const void *message, const struct smf_result *result, uint32_t code,
                          void *context)
{
    struct opened *opened = context;

    (void)handlers, (void)code;
    if (what == SMF_STREAM_MESSAGE || (what == SMF_STREAM_ENDED && message != NULL))
        keep_message(opened, message);
    if (what != SMF_STREAM_WRITABLE)
        keep_metadata(opened, stream);
    if (what == SMF_STREAM_MESSAGE)
        smf_stream_hold(stream);
    if (what == SMF_STREAM_WRITABLE)
        send_on(opened);
    if (what == SMF_STREAM_ENDED) {
        keep_end(opened, result);
        if (result->status == SMF_ECANCELLED || result->status == SMF_ETIMEOUT)
            opened->has = 0; /* what waits is dropped */
        opened->stream = NULL;
        if (opened->sending != NULL) {
            add_end(opened, opened->sending);
            done(opened->sending);
            opened->sending = NULL;
        }
    }
    if (what != SMF_STREAM_WRITABLE)
        (void)show(opened);
    return 0;
}

static void open_stream(struct smf_client *client, struct asked *asked)
{
    static uint8_t metadata[SMF_METADATA_SIZE_BYTES_MAX];
    static struct smf_method methods[OPENED_MAX];
    struct opened *opened = &streams[stream_count];
    struct smf_method *method = &methods[stream_count];
    struct smf_call_options options = {.size = sizeof options, .metadata = metadata};
    const struct step *step = &asked->step;
    struct smf_flat_builder request;
    int status;

    if (stream_count == OPENED_MAX)
        conformance_fail("a row", "too many streams");
    memset(opened, 0, sizeof *opened);
    opened->name = step->on;
    *method = *conformance_method_of(step->stream);
    if ((method->flags & (SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT)) == 0)
        method->flags |= SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT; /* which it has not */
    opened->one_reply = (method->flags & SMF_METHOD_STREAM_OUT) == 0;
    (void)conformance_write_metadata(step, metadata, &options.metadata_size_bytes);
    if (options.metadata_size_bytes == 0)
        options.metadata = NULL;
    options.timeout_us = step->timeout_ms * 1000;
    conformance_build(&request, step);
    status = smf_client_stream(client, method,
                               (method->flags & SMF_METHOD_STREAM_IN) == 0 ? &request : NULL,
                               &options, on_stream, opened, opened, &opened->stream);
    smf_flat_builder_fini(&request);
    done(asked);
    if (status != SMF_OK) {
        conformance_add_error(asked, conformance_code_of(status), NULL);
        return;
    }
    stream_count++;
    conformance_add(asked->outcome, "opened");
}

static void begin_sending(struct opened *opened, struct asked *asked, int closing)
{
    opened->left = closing ? 0 : asked->step.repeat + (asked->step.repeat == 0);
    opened->closing = closing;
    opened->sending = asked;
    if (opened->stream != NULL) {
        send_on(opened);
        return;
    }
    opened->sending = NULL;
    conformance_add(asked->outcome, "ended");
    done(asked);
}

static void begin_receiving(struct opened *opened, struct asked *asked)
{
    uint64_t end_ns = conformance_now_ns() + 2 * CONFORMANCE_PATIENCE_NS;

    opened->received = 0;
    opened->hash = 0x811c9dc5u;
    opened->receiving = asked;
    if (opened->one_reply && opened->stream != NULL)
        (void)smf_stream_close(opened->stream); /* it can only follow what was sent */
    if (opened->used)
        release(opened); /* the next one may come from inside of it */
    if (opened->receiving != NULL && !opened->used)
        (void)show(opened);
    for (;;) {
        while (opened->receiving != NULL && opened->used) {
            release(opened);
            if (opened->receiving != NULL && !opened->used)
                (void)show(opened);
        }
        if (opened->receiving == NULL)
            return;
        if (conformance_now_ns() > end_ns)
            conformance_fail(asked->step.method, "nothing came of it");
        conformance_step_once();
    }
}

int conformance_stream_step(struct smf_client *client, struct asked *asked)
{
    static const char *const steps[] = {"send", "close", "recv", "recvall", "metadata", "giveup"};
    const char *method = asked->step.method;
    struct opened *opened = NULL;
    int known = 0;

    if (strcmp(method, "open") == 0) {
        open_stream(client, asked);
        return 1;
    }
    for (int i = 0; i < 6; i++)
        known |= strcmp(method, steps[i]) == 0;
    for (int i = 0; i < stream_count; i++) {
        if (strcmp(streams[i].name, asked->step.on) == 0)
            opened = &streams[i];
    }
    if (!known)
        return 0;
    if (opened == NULL) {
        conformance_add(asked->outcome, "no stream");
        done(asked);
        return 1;
    }
    if (strcmp(method, "send") == 0 || strcmp(method, "close") == 0) {
        begin_sending(opened, asked, *method == 'c');
        return 2;
    }
    if (*method == 'r') {
        begin_receiving(opened, asked);
        return 1;
    }
    if (strcmp(method, "giveup") == 0 && opened->stream != NULL)
        smf_stream_cancel(opened->stream);
    if (*method == 'g')
        conformance_add(asked->outcome, "done");
    else
        conformance_add(asked->outcome, "metadata%s", opened->metadata);
    done(asked);
    return 1;
}

void conformance_streams_reset(void)
{
    for (int i = 0; i < stream_count; i++)
        free(streams[i].text);
    stream_count = 0;
}
