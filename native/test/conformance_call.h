/* What the client's parts of the conformance suite share: steps, and what came of them. */
#ifndef SMF_TEST_CONFORMANCE_CALL_H
#define SMF_TEST_CONFORMANCE_CALL_H

#include "conformance.h"

#define ASKED_MAX 16
#define META_MAX 8
#define LINE_BYTES_MAX 16384
#define OUTCOME_BYTES_MAX 2048

struct step {
    const char *method;
    char *text; /* of the question; owned if it is a pattern */
    size_t text_size;
    uint32_t code, retry_after_ms, size_bytes;
    uint8_t details[64];
    uint32_t details_size;
    const char *details_type, *until, *show;
    char *meta[META_MAX]; /* "key:value" */
    int meta_count;
    uint64_t timeout_ms;
    int one_way, background, malformed, insist;
    /* Of a stream. */
    uint32_t count, repeat;
    const char *stream, *on; /* the method that is opened; its name */
};

/* A call that was begun. */
struct asked {
    struct step step;
    int done;
    uint64_t call;
    char said[32]; /* what until is held against */
    char outcome[OUTCOME_BYTES_MAX];
};

/* Adds to an outcome. */
__attribute__((format(printf, 2, 3))) void conformance_add(char *line, const char *format, ...);

/* A text as a line shows it. */
void conformance_add_brief(char *line, const char *name, const void *data, size_t size);

/* An error, as the step shows it. */
void conformance_add_error(struct asked *asked, uint32_t code, const struct smf_result *result);

/* The code that a status stands for, where no answer came. */
uint32_t conformance_code_of(int status);

/* The method that a step means. */
const struct smf_method *conformance_method_of(const char *name);

/* Builds a step's question. */
void conformance_build(struct smf_flat_builder *b, const struct step *step);

/* The metadata block of a step. Returns as smf_metadata_end does. */
int conformance_write_metadata(const struct step *step, uint8_t *bytes, uint32_t *size_out);

/* The time of the client's core. */
uint64_t conformance_now_ns(void);

/* Polls once. */
void conformance_step_once(void);

/* Polls until something is done. */
void conformance_step_until(const int *done);

/* Runs a step of a stream. Returns 0 when the step is of none, 1 when the outcome is known, and 2 when it goes on in the
 * background: asked->done says until when. */
int conformance_stream_step(struct smf_client *client, struct asked *asked);

/* Forgets all streams of a row: behind the end of its client. */
void conformance_streams_reset(void);

#endif
