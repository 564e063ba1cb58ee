/* What a router takes, and what it refuses. */
#include <stdio.h>

#include <smf/service.h>

#include "test.h"

#define LATE_ID 1002u

static const struct smf_method methods[] = {
    {"Echo", "a.Node", "a.Node", NULL, NULL, 1001, 0, 0},
    {"Late", "a.Node", "a.Node", NULL, NULL, LATE_ID, 0, 0},
};

/* No event comes here. */
static int dispatch(const void *server, struct smf_core *core, const struct smf_event *event)
{
    (void)server, (void)core, (void)event;
    return 0;
}

static const struct smf_service service = {
    "Nodes", "a.Nodes", "nodes.fbs", methods, 2, SMF_GENERATED_VERSION, dispatch};

static void check_refused(struct smf_router *router, const struct smf_service *added,
                          const char *text)
{
    struct smf_error error;

    CHECK_EQ(smf_router_add(router, added, added, &error), SMF_EINVAL);
    CHECK_STR(error.text, text);
    CHECK_EQ(error.status, SMF_EINVAL);
}

static void what_a_router_refuses(void)
{
    static const struct smf_method zero[] = {{"Fine", "a.Node", "a.Node", NULL, NULL, 5, 0, 0},
                                             {"Zero", "a.Node", "a.Node", NULL, NULL, 0, 0, 0}};
    static const struct smf_method twice[] = {{"One", "a.Node", "a.Node", NULL, NULL, 7, 0, 0},
                                              {"Two", "a.Node", "a.Node", NULL, NULL, 7, 0, 0}};
    static const struct smf_method taken[] = {
        {"Takes", "a.Node", "a.Node", NULL, NULL, LATE_ID, 0, 0}};
    struct smf_service other = service;
    struct smf_router *router;
    struct smf_error error;

    CHECK_EQ(smf_router_open(&router), SMF_OK);
    CHECK_EQ(smf_router_add(router, &service, NULL, &error), SMF_EINVAL);
    CHECK_STR(error.text, "a service needs its struct of handlers");
    CHECK_EQ(smf_router_add(router, &service, &service, NULL), SMF_OK);
    check_refused(router, &service, "service a.Nodes of nodes.fbs is there already");
    other.full_name = "b.Nodes";
    other.source = "other.fbs";
    check_refused(router, &other,
                  "service b.Nodes of other.fbs has the name of a.Nodes of nodes.fbs; on the wire, "
                  "namespaces do not count: rename one of them");
    other.name = "Other";
    other.method_count = 2;
    other.methods = zero;
    check_refused(router, &other,
                  "method Other.Zero of other.fbs: its id is 0, which the wire format forbids; "
                  "rename it");
    other.methods = twice;
    check_refused(router, &other,
                  "method Other.Two of other.fbs: its id 7 is that of Other.One of other.fbs, too; "
                  "rename one of them");
    other.methods = taken;
    other.method_count = 1;
    check_refused(router, &other,
                  "method Other.Takes of other.fbs: its id 1002 is that of Nodes.Late of "
                  "nodes.fbs, too; rename one of them");
    other.generated = 99;
    check_refused(router, &other,
                  "service Other of other.fbs was generated for version 99 of the library's "
                  "headers, and this is 1: run smfc again");
    smf_router_close(router);
    smf_router_close(NULL);
}

#define MANY 500

/* Many services of many methods are all found. */
static void a_router_of_many(void)
{
    static struct smf_method many[MANY][20];
    static struct smf_service services[MANY];
    static char names[MANY][16];
    struct smf_router *router;

    CHECK_EQ(smf_router_open(&router), SMF_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "S%u", i);
        services[i] = (struct smf_service){
            names[i], names[i], "s.fbs", many[i], 20, SMF_GENERATED_VERSION, dispatch};
        for (uint32_t k = 0; k < 20; k++)
            many[i][k] = (struct smf_method){
                "M", "a.Node", "a.Node", NULL, NULL, 64 * (20 * i + k + 1), 0, 0};
        CHECK_EQ(smf_router_add(router, &services[i], services, NULL), SMF_OK);
    }
    many[0][0].id = 64 * 20 * MANY;
    services[0].name = "another";
    CHECK_EQ(smf_router_add(router, &services[0], services, NULL), SMF_EINVAL);
    smf_router_close(router);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(what_a_router_refuses),
        TEST(a_router_of_many),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
