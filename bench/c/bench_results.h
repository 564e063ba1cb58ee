/* What a load client found out, and how it is printed: for people, or as JSON for the runner. */
#ifndef SMF_BENCH_RESULTS_H
#define SMF_BENCH_RESULTS_H

#include <stdint.h>
#include <stdio.h>

#include "bench_histogram.h"

struct bench_results {
    struct bench_histogram latency[2]; /* by method */
    uint64_t bad_status;
    uint64_t bad_content;
    uint64_t bad_session;
    uint64_t held_back; /* due, but every session of the connection was in use */
    uint64_t unanswered;
    double elapsed;
    double client_cpu; /* percent of one CPU */
    double server_cpu; /* likewise; < 0: not known */
};

static inline uint64_t bench_results_errors(const struct bench_results *results)
{
    return results->bad_status + results->bad_content + results->bad_session + results->unanswered;
}

static inline void bench_results_print_json_method(const char *name,
                                                   const struct bench_histogram *latency,
                                                   double elapsed)
{
    static const struct {
        const char *name;
        double percent;
    } percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}};

    printf("\"%s\":{\"calls\":%llu,\"calls_per_second\":%.1f,\"latency_us\":{", name,
           (unsigned long long)latency->total, (double)latency->total / elapsed);
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
        printf("\"%s\":%.2f,", percentiles[i].name,
               (double)bench_histogram_percentile(latency, percentiles[i].percent) / 1000);
    }
    printf("\"max\":%.2f}}", (double)latency->max / 1000);
}

static inline void bench_results_print_json(const struct bench_results *results)
{
    const uint64_t calls = results->latency[0].total + results->latency[1].total;

    printf("{\"calls\":%llu,\"seconds\":%.3f,\"calls_per_second\":%.1f,", (unsigned long long)calls,
           results->elapsed, (double)calls / results->elapsed);
    bench_results_print_json_method("first", &results->latency[0], results->elapsed);
    putchar(',');
    bench_results_print_json_method("second", &results->latency[1], results->elapsed);
    printf(",\"errors\":%llu,\"bad_status\":%llu,\"bad_content\":%llu,\"bad_session\":%llu,"
           "\"unanswered\":%llu,\"held_back\":%llu,\"client_cpu_percent\":%.1f,"
           "\"server_cpu_percent\":%.1f}\n",
           (unsigned long long)bench_results_errors(results),
           (unsigned long long)results->bad_status, (unsigned long long)results->bad_content,
           (unsigned long long)results->bad_session, (unsigned long long)results->unanswered,
           (unsigned long long)results->held_back, results->client_cpu, results->server_cpu);
}

static inline void bench_results_print_text_method(uint32_t method,
                                                   const struct bench_histogram *latency,
                                                   double elapsed)
{
    printf("%-10u %9.0f calls/s  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us\n", method,
           (double)latency->total / elapsed, (double)bench_histogram_percentile(latency, 50) / 1000,
           (double)bench_histogram_percentile(latency, 90) / 1000,
           (double)bench_histogram_percentile(latency, 99) / 1000,
           (double)bench_histogram_percentile(latency, 99.9) / 1000, (double)latency->max / 1000);
}

static inline void bench_results_print_text(const struct bench_results *results,
                                            const uint32_t methods[2])
{
    bench_results_print_text_method(methods[0], &results->latency[0], results->elapsed);
    if (methods[1] != 0) {
        bench_results_print_text_method(methods[1], &results->latency[1], results->elapsed);
    }
    printf("errors %llu (status %llu, content %llu, session %llu, unanswered %llu), held back "
           "%llu, client CPU %.0f %%",
           (unsigned long long)bench_results_errors(results),
           (unsigned long long)results->bad_status, (unsigned long long)results->bad_content,
           (unsigned long long)results->bad_session, (unsigned long long)results->unanswered,
           (unsigned long long)results->held_back, results->client_cpu);
    if (results->server_cpu >= 0) {
        printf(", server CPU %.0f %%", results->server_cpu);
    }
    putchar('\n');
}

#endif
