// What ModSecurity 2.9 (standalone) says about requests without any agent: the calls of its api.h, in their order, with
// nothing replaced by the linker. This is also how a daemon in C drives it.
//
//   direct2 RULES <requests >rules          a line for each request: the ids of the rules that the engine logged
//   direct2 RULES COUNT <requests >times    inspects each request so many times; a line for each: CPU nanoseconds of one
//
// A request is method, URI, version, body, the number of headers, and name and value of each; a number is four bytes,
// highest first, and everything else is that many bytes after such a number.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_strings.h>

#include "api.h"

// What the library leaves to its host.
module core_module;
int (*modsecDropAction)(request_rec *request);
int ap_map_http_request_error(apr_status_t error, int status) {
    (void)error;
    return status;
}

static int next_number(uint32_t *number) {
    unsigned char bytes[4];
    if (fread(bytes, 1, 4, stdin) != 4) {
        return 0;
    }
    *number = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return 1;
}

struct text {
    char *start;
    uint32_t length;
};

static int next_text(struct text *text) {
    if (!next_number(&text->length)) {
        return 0;
    }
    text->start = malloc(text->length + 1);
    text->start[text->length] = '\0';
    return fread(text->start, 1, text->length, stdin) == text->length;
}

#define MOST_HEADERS 512

struct request {
    struct text method, uri, version, body;
    uint32_t headers;
    struct text names[MOST_HEADERS], values[MOST_HEADERS];
};

static int next_request(struct request *request) {
    if (!next_text(&request->method) || !next_text(&request->uri) || !next_text(&request->version) ||
        !next_text(&request->body) || !next_number(&request->headers) || request->headers > MOST_HEADERS) {
        return 0;
    }
    for (uint32_t i = 0; i < request->headers; i++) {
        if (!next_text(&request->names[i]) || !next_text(&request->values[i])) {
            return 0;
        }
    }
    return 1;
}

static void free_request(struct request *request) {
    free(request->method.start);
    free(request->uri.start);
    free(request->version.start);
    free(request->body.start);
    for (uint32_t i = 0; i < request->headers; i++) {
        free(request->names[i].start);
        free(request->values[i].start);
    }
}

static int is_silent;

// The engine's log line has `[id "942100"]`.
static void log_line(void *context, int level, char *line) {
    const char *id = is_silent ? NULL : strstr(line, "[id \"");
    (void)context;
    (void)level;
    if (id != NULL) {
        printf("%ld ", strtol(id + 5, NULL, 10));
    }
}

static void inspect(directory_config *rules, const struct request *from) {
    conn_rec *connection = modsecNewConnection();
    modsecProcessConnection(connection);
    request_rec *request = modsecNewRequest(connection, rules);
    apr_pool_t *pool = request->pool;
    request->useragent_ip = connection->client_ip;
    request->useragent_addr = connection->client_addr;
    request->request_time = apr_time_now();
    request->method = from->method.start;
    request->method_number = M_INVALID;
    request->protocol = apr_pstrcat(pool, "HTTP/", from->version.start, NULL);
    request->proto_num = 1001;
    request->unparsed_uri = from->uri.start;
    request->the_request = apr_pstrcat(pool, from->method.start, " ", from->uri.start, " ", request->protocol, NULL);
    request->uri = apr_pstrdup(pool, from->uri.start);
    char *query = strchr(request->uri, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    request->args = query;
    request->filename = request->uri;
    request->parsed_uri.scheme = NULL;
    request->parsed_uri.hostname = NULL;
    request->parsed_uri.path = request->uri;
    request->parsed_uri.query = query;
    request->parsed_uri.fragment = NULL;
    for (uint32_t i = 0; i < from->headers; i++) {
        apr_table_addn(request->headers_in, from->names[i].start, from->values[i].start);
    }
    request->hostname = apr_table_get(request->headers_in, "Host");

    apr_bucket_alloc_t *buckets = connection->bucket_alloc;
    apr_bucket_brigade *body = apr_brigade_create(pool, buckets);
    APR_BRIGADE_INSERT_TAIL(body, apr_bucket_immortal_create(from->body.start, from->body.length, buckets));
    APR_BRIGADE_INSERT_TAIL(body, apr_bucket_eos_create(buckets));
    modsecSetBodyBrigade(request, body);

    if (modsecProcessRequestHeaders(request) == DECLINED) {
        modsecProcessRequestBody(request);
    }
    modsecFinishRequest(request);
    modsecFinishConnection(connection);
}

static long long cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int count, char **arguments) {
    static struct request request;
    const long times = count == 3 ? strtol(arguments[2], NULL, 10) : 1;
    if (count < 2 || count > 3 || times < 1) {
        fprintf(stderr, "direct2: a file of rules, and perhaps how often\n");
        return 1;
    }
    is_silent = 1;
    modsecInit();
    modsecSetLogHook(NULL, log_line);
    modsecStartConfig();
    directory_config *rules = modsecGetDefaultConfig();
    const char *error = modsecProcessConfig(rules, arguments[1], NULL);
    if (error != NULL) {
        fprintf(stderr, "direct2: %s\n", error);
        return 1;
    }
    modsecFinalizeConfig();
    modsecInitProcess();
    is_silent = count == 3;
    while (next_request(&request)) {
        const long long before = cpu();
        for (long i = 0; i < times; i++) {
            inspect(rules, &request);
        }
        if (is_silent) {
            printf("%lld", (cpu() - before) / times);
        }
        puts("");
        fflush(stdout);
        free_request(&request);
    }
    return 0;
}
