/* From a method's id to the service that has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/level2.h>

#include "frame/frame_error.h"
#include "service/service_filter.h"

#define ENTRIES_MIN 64u
#define METHODS_MAX (1u << 20) /* of all services */

struct entry {
    struct smf__filters *filters; /* around the method, or NULL */
    uint32_t id;                  /* 0: free */
    uint32_t service;
    uint32_t method;
};

struct added {
    const struct smf_service *service;
    const void *server;
};

struct smf_router {
    struct added *services; /* [service_count] */
    struct entry *entries;  /* open addressing; at most half full */
    uint32_t service_count;
    uint32_t entries_size; /* a power of two, or 0 */
    uint32_t method_count;
    struct smf__filters filters; /* those around every service, for services to come */
};

int smf_router_open(struct smf_router **router_out)
{
    *router_out = calloc(1, sizeof **router_out);
    return *router_out != NULL ? SMF_OK : SMF_ENOMEM;
}

void smf_router_close(struct smf_router *router)
{
    if (router == NULL)
        return;
    for (uint32_t i = 0; i < router->entries_size; i++)
        free(router->entries[i].filters);
    free(router->services);
    free(router->entries);
    free(router);
}

/* The entry of an id, or the free one where it belongs. Ids are checksums: their bits are as good as
 * a hash. */
static struct entry *find(struct entry *entries, uint32_t entries_size, uint32_t id)
{
    uint32_t at = id & (entries_size - 1);

    while (entries[at].id != 0 && entries[at].id != id)
        at = (at + 1) & (entries_size - 1);
    return &entries[at];
}

static int check_service(const struct smf_router *router, const struct smf_service *service,
                         struct smf_error *error_out)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    if (service->generated != SMF_GENERATED_VERSION) {
        (void)snprintf(
            text, sizeof text,
            "service %s of %s was generated for version %u of the library's headers, and "
            "this is %u: run smfc again",
            service->name, service->source, service->generated, SMF_GENERATED_VERSION);
        return smf__error(error_out, SMF_EINVAL, 0, text);
    }
    for (uint32_t i = 0; i < router->service_count; i++) {
        const struct smf_service *other = router->services[i].service;

        if (other == service) {
            (void)snprintf(text, sizeof text, "service %s of %s is there already",
                           service->full_name, service->source);
            return smf__error(error_out, SMF_EINVAL, 0, text);
        }
        if (strcmp(other->name, service->name) == 0) {
            (void)snprintf(text, sizeof text,
                           "service %s of %s has the name of %s of %s; on the wire, namespaces do "
                           "not count: rename one of them",
                           service->full_name, service->source, other->full_name, other->source);
            return smf__error(error_out, SMF_EINVAL, 0, text);
        }
    }
    if (service->method_count > METHODS_MAX - router->method_count) {
        (void)snprintf(text, sizeof text, "service %s of %s: more than %u methods", service->name,
                       service->source, METHODS_MAX);
        return smf__error(error_out, SMF_EINVAL, 0, text);
    }
    return SMF_OK;
}

/* Puts a service's methods into entries, which have room. */
static int enter(const struct smf_router *router, struct entry *entries, uint32_t entries_size,
                 const struct smf_service *service, uint32_t number, struct smf_error *error_out)
{
    for (uint32_t i = 0; i < service->method_count; i++) {
        const struct smf_method *method = &service->methods[i];
        char text[SMF_ERROR_TEXT_SIZE_BYTES];
        struct entry *entry;

        if (method->id == 0) {
            (void)snprintf(text, sizeof text,
                           "method %s.%s of %s: its id is 0, which the wire format forbids; rename "
                           "it",
                           service->name, method->name, service->source);
            return smf__error(error_out, SMF_EINVAL, 0, text);
        }
        entry = find(entries, entries_size, method->id);
        if (entry->id != 0) {
            const struct smf_service *other =
                entry->service == number ? service : router->services[entry->service].service;

            (void)snprintf(text, sizeof text,
                           "method %s.%s of %s: its id %u is that of %s.%s of %s, too; rename one "
                           "of them",
                           service->name, method->name, service->source, method->id, other->name,
                           other->methods[entry->method].name, other->source);
            return smf__error(error_out, SMF_EINVAL, 0, text);
        }
        *entry = (struct entry){NULL, method->id, number, i};
    }
    return SMF_OK;
}

/* New entries with all methods, those of one more service too; NULL when there is no memory. */
static struct entry *entries_with(const struct smf_router *router,
                                  const struct smf_service *service, uint32_t *size_out)
{
    uint32_t size = ENTRIES_MIN;
    struct entry *entries;

    while (size < 2 * (router->method_count + service->method_count))
        size *= 2;
    entries = calloc(size, sizeof *entries);
    for (uint32_t i = 0; entries != NULL && i < router->entries_size; i++) {
        if (router->entries[i].id != 0)
            *find(entries, size, router->entries[i].id) = router->entries[i];
    }
    *size_out = size;
    return entries;
}

static int no_memory(struct smf_error *error_out)
{
    return smf__error(error_out, SMF_ENOMEM, 0, "there is no memory for another service");
}

/* Puts the router's filters around the methods of a service that is new. */
static int surround(const struct smf_router *router, struct entry *entries, uint32_t size,
                    uint32_t number)
{
    for (uint32_t i = 0; router->filters.count != 0 && i < size; i++) {
        if (entries[i].id == 0 || entries[i].service != number)
            continue;
        entries[i].filters = malloc(sizeof router->filters);
        if (entries[i].filters == NULL)
            return SMF_ENOMEM;
        *entries[i].filters = router->filters;
    }
    return SMF_OK;
}

/* Frees entries that did not come to be the router's, with what is new in them. */
static void forget(struct entry *entries, uint32_t size, uint32_t number)
{
    for (uint32_t i = 0; i < size; i++) {
        if (entries[i].id != 0 && entries[i].service == number)
            free(entries[i].filters);
    }
    free(entries);
}

int smf_router_add(struct smf_router *router, const struct smf_service *service, const void *server,
                   struct smf_error *error_out)
{
    struct added *services;
    struct entry *entries;
    uint32_t size;
    int status;

    if (server == NULL)
        return smf__error(error_out, SMF_EINVAL, 0, "a service needs its struct of handlers");
    status = check_service(router, service, error_out);
    if (status != SMF_OK)
        return status;
    services = realloc(router->services, (router->service_count + 1) * sizeof *services);
    if (services == NULL)
        return no_memory(error_out);
    router->services = services;
    entries = entries_with(router, service, &size);
    if (entries == NULL)
        return no_memory(error_out);
    status = enter(router, entries, size, service, router->service_count, error_out);
    if (status == SMF_OK && surround(router, entries, size, router->service_count) != SMF_OK)
        status = no_memory(error_out);
    if (status != SMF_OK) {
        forget(entries, size, router->service_count);
        return status;
    }
    free(router->entries);
    router->entries = entries;
    router->entries_size = size;
    router->method_count += service->method_count;
    services[router->service_count++] = (struct added){service, server};
    return SMF_OK;
}

/* What a filter is put around. */
struct around {
    uint32_t service; /* EVERY: all of them */
    uint32_t method;  /* EVERY: all of the service */
};

#define EVERY UINT32_MAX

static int find_around(const struct smf_router *router, const struct smf_service *service,
                       const char *method, struct around *around_out, struct smf_error *error_out)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    *around_out = (struct around){EVERY, EVERY};
    if (service == NULL)
        return method == NULL ? SMF_OK
                              : smf__error(error_out, SMF_EINVAL, 0,
                                           "a filter of a method needs the method's service");
    for (uint32_t i = 0; i < router->service_count; i++) {
        if (router->services[i].service == service)
            around_out->service = i;
    }
    if (around_out->service == EVERY) {
        (void)snprintf(text, sizeof text,
                       "service %s of %s is not there yet: add it before its filters",
                       service->full_name, service->source);
        return smf__error(error_out, SMF_EINVAL, 0, text);
    }
    for (uint32_t i = 0; method != NULL && i < service->method_count; i++) {
        if (strcmp(service->methods[i].name, method) == 0)
            around_out->method = i;
    }
    if (method != NULL && around_out->method == EVERY) {
        (void)snprintf(text, sizeof text, "service %s of %s has no method %s", service->full_name,
                       service->source, method);
        return smf__error(error_out, SMF_EINVAL, 0, text);
    }
    return SMF_OK;
}

static int is_around(const struct around *around, const struct entry *entry)
{
    return entry->id != 0 && (around->service == EVERY || around->service == entry->service) &&
           (around->method == EVERY || around->method == entry->method);
}

/* Makes room for one more filter around the methods that it is for. */
static int make_room(struct smf_router *router, const struct around *around,
                     struct smf_error *error_out)
{
    int full = around->service == EVERY && router->filters.count == SMF_FILTERS_MAX;

    for (uint32_t i = 0; i < router->entries_size; i++) {
        const struct entry *entry = &router->entries[i];

        full |= is_around(around, entry) && entry->filters != NULL &&
                entry->filters->count == SMF_FILTERS_MAX;
    }
    if (full)
        return smf__error(error_out, SMF_ELIMIT, 0, SMF__FILTERS_ADVICE);
    for (uint32_t i = 0; i < router->entries_size; i++) {
        struct entry *entry = &router->entries[i];

        if (!is_around(around, entry) || entry->filters != NULL)
            continue;
        entry->filters = calloc(1, sizeof *entry->filters);
        if (entry->filters == NULL)
            return smf__error(error_out, SMF_ENOMEM, 0, "there is no memory for another filter");
    }
    return SMF_OK;
}

static void insert(struct smf__filters *filters, const struct around *around,
                   const struct smf_filter *filter)
{
    uint32_t behind_service = filters->of_router + filters->of_service;

    if (around->service == EVERY)
        smf__filters_insert(filters, filters->of_router++, filter);
    else if (around->method != EVERY)
        smf__filters_insert(filters, filters->count, filter);
    else {
        smf__filters_insert(filters, behind_service, filter);
        filters->of_service++;
    }
}

int smf_router_filter(struct smf_router *router, const struct smf_service *service,
                      const char *method, const struct smf_filter *filter,
                      struct smf_error *error_out)
{
    struct smf_filter copy;
    struct around around;
    int status = smf__filter_copy(filter, &copy, error_out);

    if (status == SMF_OK)
        status = find_around(router, service, method, &around, error_out);
    if (status == SMF_OK)
        status = make_room(router, &around, error_out);
    if (status != SMF_OK)
        return status;
    for (uint32_t i = 0; i < router->entries_size; i++) {
        if (is_around(&around, &router->entries[i]))
            insert(router->entries[i].filters, &around, &copy);
    }
    if (around.service == EVERY)
        insert(&router->filters, &around, &copy);
    return SMF_OK;
}

/* No handler has seen the call. */
static int refuse(struct smf_core *core, const struct smf_event *event)
{
    static const char text[] = "no such method";
    const struct smf__error error = {.message = {text, sizeof text - 1}};
    struct smf__message message = {
        .conn = event->conn, .session = event->session, .meta = SMF_CODE_NOT_FOUND};
    struct smf_flat_builder table;
    int status;

    if (event->level < 2)
        return smf_core_send_code(core, event->conn, event->session, SMF_CODE_NOT_FOUND);
    if (event->flags & SMF_FRAME_ONE_WAY)
        return smf__message_send(core, &message, NULL, 0);
    message.flags = SMF_FRAME_RESET;
    smf_flat_builder_init_core(&table, core);
    (void)smf__error_write(&table, &error);
    status = smf__message_send_built(core, &message, &table);
    smf_flat_builder_fini(&table);
    return status == SMF_OK ? SMF_OK : smf__message_send(core, &message, NULL, 0);
}

void smf_router_handle(struct smf_core *core, const struct smf_event *event, void *context)
{
    const struct smf_router *router = context;
    const struct entry *entry;
    const struct added *added;
    int served;

    if (event->kind != SMF_EVENT_REQUEST) {
        (void)smf_call_event(core, event);
        return;
    }
    if (router->entries_size != 0) {
        entry = find(router->entries, router->entries_size, event->meta);
        added = &router->services[entry->service];
        if (entry->id != 0) {
            core->filters = entry->filters;
            served = added->service->dispatch(added->server, core, event);
            core->filters = NULL;
            if (served)
                return;
        }
    }
    if (refuse(core, event) != SMF_OK)
        smf_core_disconnect(core, event->conn);
}
