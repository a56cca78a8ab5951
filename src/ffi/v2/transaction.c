/* A transaction: one request and its response on their way through the engine. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* The hooks that the engine has registered with Apache. */
extern int (*hookfn_post_read_request)(request_rec *);
extern int (*hookfn_fixups)(request_rec *);
extern void (*hookfn_insert_filter)(request_rec *);
extern int (*hookfn_log_transaction)(request_rec *);

_Thread_local ms2_transaction *ms2_current;
char ms2_no_socket;

/* Bytes that an arena keeps for the next transaction. A body of 16 KiB at paranoia 4 takes a few mebibytes. */
#define KEPT (16 * 1024 * 1024)

/* The originals: the engine's own calls of these go to wraps.c. */
apr_status_t __real_apr_allocator_create(apr_allocator_t **allocator);
void __real_apr_allocator_destroy(apr_allocator_t *allocator);
void __real_apr_allocator_max_free_set(apr_allocator_t *allocator, apr_size_t size);
void __real_apr_allocator_owner_set(apr_allocator_t *allocator, apr_pool_t *pool);

ms2_arena *ms2_arena_new(void) {
    ms2_arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL || __real_apr_allocator_create(&arena->allocator) != APR_SUCCESS) {
        free(arena);
        return NULL;
    }
    __real_apr_allocator_max_free_set(arena->allocator, KEPT);
    if (apr_pool_create_ex(&arena->root, NULL, NULL, arena->allocator) != APR_SUCCESS) {
        __real_apr_allocator_destroy(arena->allocator);
        free(arena);
        return NULL;
    }
    __real_apr_allocator_owner_set(arena->allocator, arena->root);
    return arena;
}

void ms2_arena_free(ms2_arena *arena) {
    apr_pool_destroy(arena->root);
    free(arena);
}

void ms2_log(void *context, int level, char *text) {
    (void)context;
    (void)level;
    if (ms2_current != NULL) {
        ms2_current->complaint = apr_pstrdup(ms2_current->pool, text);
        /* The two ways in which the engine tells that a record, or a part of it, is not in the audit log. */
        if (strstr(text, "Audit log: Failed writing") != NULL || strstr(text, "Audit log: Failed to create") != NULL) {
            ms2_current->lost_record = ms2_current->complaint;
        }
    }
}

static char *copy(ms2_transaction *transaction, ms2_bytes text) {
    return apr_pstrmemdup(transaction->pool, text.start, text.length);
}

ms2_transaction *ms2_transaction_new(ms2_arena *arena, ms2_rules *rules, ms2_bytes id) {
    apr_pool_t *pool = NULL;
    if (apr_pool_create_ex(&pool, arena->root, NULL, arena->allocator) != APR_SUCCESS) {
        return NULL;
    }
    ms2_transaction *transaction = apr_pcalloc(pool, sizeof *transaction);
    transaction->arena = arena;
    transaction->pool = pool;
    transaction->tx = apr_table_make(pool, 1);
    transaction->ignored = apr_array_make(pool, 1, sizeof(const char *));
    transaction->matches = apr_array_make(pool, 8, sizeof(ms2_match));

    extern server_rec *server;
    conn_rec *connection = apr_pcalloc(pool, sizeof *connection);
    connection->id = 1;
    connection->pool = pool;
    connection->base_server = server;
    connection->bucket_alloc = apr_bucket_alloc_create(pool);
    void **modules = apr_pcalloc(pool, sizeof *modules);
    modules[0] = &ms2_no_socket;
    connection->conn_config = (ap_conf_vector_t *)modules;

    request_rec *request = apr_pcalloc(pool, sizeof *request);
    request->connection = connection;
    request->server = server;
    request->pool = pool;
    request->request_time = apr_time_now();
    request->status = HTTP_OK;
    request->notes = apr_table_make(pool, 4);
    request->subprocess_env = apr_table_make(pool, 4);
    request->headers_in = apr_table_make(pool, 24);
    request->headers_out = apr_table_make(pool, 16);
    request->err_headers_out = apr_table_make(pool, 1);
    void **configurations = apr_palloc(pool, sizeof *configurations);
    configurations[0] = rules;
    request->per_dir_config = (ap_conf_vector_t *)configurations;

    transaction->connection = connection;
    transaction->request = request;
    apr_table_setn(request->subprocess_env, "UNIQUE_ID", copy(transaction, id));
    return transaction;
}

void ms2_transaction_free(ms2_transaction *transaction) { apr_pool_destroy(transaction->pool); }

static apr_sockaddr_t *address(ms2_transaction *transaction, int port) {
    apr_sockaddr_t *address = apr_pcalloc(transaction->pool, sizeof *address);
    address->pool = transaction->pool;
    address->port = (apr_port_t)port;
    return address;
}

void ms2_set_connection(ms2_transaction *transaction, ms2_bytes client, int client_port, ms2_bytes server,
                        int server_port) {
    conn_rec *connection = transaction->connection;
    connection->client_ip = copy(transaction, client);
    connection->client_addr = address(transaction, client_port);
    connection->local_ip = copy(transaction, server);
    connection->local_addr = address(transaction, server_port);
    transaction->request->useragent_ip = connection->client_ip;
    transaction->request->useragent_addr = connection->client_addr;
}

/* The version as a number in Apache's form: 1001 for "1.1", 0 for what is no version of HTTP. */
static int version_number(const char *version) {
    char *end;
    const long major = strtol(version, &end, 10);
    const long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    const int is_version = major >= 0 && major <= 999 && minor >= 0 && minor <= 999;
    return is_version ? (int)(major * 1000 + minor) : 0;
}

void ms2_set_request_line(ms2_transaction *transaction, ms2_bytes method, ms2_bytes uri, ms2_bytes version) {
    apr_pool_t *pool = transaction->pool;
    request_rec *request = transaction->request;
    const char *number = copy(transaction, version);
    request->method = copy(transaction, method);
    request->unparsed_uri = copy(transaction, uri);
    request->protocol = apr_pstrcat(pool, "HTTP/", number, NULL);
    request->proto_num = version_number(number);
    request->the_request =
        apr_pstrcat(pool, request->method, " ", request->unparsed_uri, " ", request->protocol, NULL);
    const char *query = strchr(request->unparsed_uri, '?');
    const size_t length = query == NULL ? uri.length : (size_t)(query - request->unparsed_uri);
    request->uri = apr_pstrmemdup(pool, request->unparsed_uri, length);
    request->args = query == NULL ? NULL : apr_pstrdup(pool, query + 1);
    request->filename = request->uri;
    /* All of it is path and query, whatever the client sent: no part is parsed as scheme, host or fragment. */
    request->parsed_uri.path = request->uri;
    request->parsed_uri.query = request->args;
    request->parsed_uri.is_initialized = 1;
}

/* The name in a Host header, without the port. */
static const char *host(ms2_transaction *transaction, ms2_bytes value) {
    char *name = copy(transaction, value);
    char *end = *name == '[' ? strchr(name, ']') : strchr(name, ':');
    if (end != NULL) {
        end[*end == ']'] = '\0';
    }
    return name;
}

void ms2_add_request_header(ms2_transaction *transaction, ms2_bytes name, ms2_bytes value) {
    request_rec *request = transaction->request;
    const char *key = copy(transaction, name);
    if (request->hostname == NULL && strcasecmp(key, "Host") == 0) {
        request->hostname = host(transaction, value);
    }
    apr_table_addn(request->headers_in, key, copy(transaction, value));
}

void ms2_set_tx(ms2_transaction *transaction, ms2_bytes name, ms2_bytes value) {
    apr_table_setn(transaction->tx, copy(transaction, name), copy(transaction, value));
}

void ms2_ignore_rule(ms2_transaction *transaction, long long rule) {
    APR_ARRAY_PUSH(transaction->ignored, const char *) = apr_psprintf(transaction->pool, "%" APR_INT64_T_FMT, (apr_int64_t)rule);
}

/* Turns the status that a hook returns into MS2_GO_ON, MS2_INTERVENE or MS2_FAILED. */
static int outcome(ms2_transaction *transaction, int status, ms2_error *error) {
    const modsec_rec *msr = transaction->msr;
    /*
     * An engine that could not make its record of the transaction returns DECLINED, as it does when no rule intervenes.
     */
    const int has_begun = msr != NULL && apr_table_get(transaction->request->notes, NOTE_MSR) != NULL;
    if (has_begun && (status == DECLINED || status == OK)) {
        return MS2_GO_ON;
    }
    /* A rule may deny with any status. A limit on bodies denies only where rules may: not with detection only. */
    const int is_limit = has_begun && (status == HTTP_REQUEST_ENTITY_TOO_LARGE || msr->outbound_error);
    if (has_begun && (msr->was_intercepted || (is_limit && msr->txcfg->is_enabled == MODSEC_ENABLED))) {
        transaction->status = status;
        return MS2_INTERVENE;
    }
    ms2_say(error, transaction->complaint != NULL ? transaction->complaint : "the engine gave up");
    return MS2_FAILED;
}

int ms2_process_request_headers(ms2_transaction *transaction, size_t body_length, ms2_error *error) {
    transaction->body_length = body_length;
    ms2_current = transaction;
    const int status = hookfn_post_read_request(transaction->request);
    ms2_current = NULL;
    return outcome(transaction, status, error);
}

int ms2_body_processor(const ms2_transaction *transaction) {
    static const char *const names[] = {"URLENCODED", "MULTIPART", "JSON", "XML"};
    const modsec_rec *msr = transaction->msr;
    if (msr == NULL || msr->msc_reqbody_processor == NULL) {
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(msr->msc_reqbody_processor, names[i]) == 0) {
            return i + 1;
        }
    }
    return 0;
}

int ms2_process_request_body(ms2_transaction *transaction, ms2_bytes body, ms2_error *error) {
    request_rec *request = transaction->request;
    apr_bucket_alloc_t *allocator = transaction->connection->bucket_alloc;
    apr_bucket_brigade *brigade = apr_brigade_create(transaction->pool, allocator);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_immortal_create(body.start, body.length, allocator));
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(allocator));
    modsecSetBodyBrigade(request, brigade);

    ms2_current = transaction;
    ap_filter_t *reader = ap_add_input_filter("HTTP_IN", NULL, request, transaction->connection);
    const int status = hookfn_fixups(request);
    ap_remove_input_filter(reader);
    /* The engine runs phases 3 and 4 in an output filter, which this hook inserts. */
    hookfn_insert_filter(request);
    ms2_current = NULL;
    /* The bytes in the brigade are the caller's, and may be gone after this call. */
    apr_brigade_cleanup(brigade);
    apr_table_unset(request->notes, NOTE_MSR_BRIGADE_REQUEST);
    return outcome(transaction, status, error);
}

void ms2_forget_intervention(ms2_transaction *transaction) {
    if (transaction->msr != NULL) {
        transaction->msr->was_intercepted = 0;
    }
}

void ms2_add_response_header(ms2_transaction *transaction, ms2_bytes name, ms2_bytes value) {
    apr_table_addn(transaction->request->headers_out, copy(transaction, name), copy(transaction, value));
}

int ms2_process_response(ms2_transaction *transaction, int status, ms2_bytes version, ms2_bytes body,
                         ms2_bytes *rewritten, ms2_error *error) {
    request_rec *request = transaction->request;
    apr_pool_t *pool = transaction->pool;
    apr_bucket_alloc_t *allocator = transaction->connection->bucket_alloc;
    *rewritten = (ms2_bytes){NULL, 0};
    request->status = status;
    request->proto_num = version_number(copy(transaction, version));
    request->content_type = apr_table_get(request->headers_out, "Content-Type");
    char *bytes = apr_pmemdup(pool, body.start, body.length);
    apr_bucket_brigade *brigade = apr_brigade_create(pool, allocator);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_immortal_create(bytes, body.length, allocator));
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(allocator));
    modsecSetResponseBrigade(request, brigade);

    ms2_current = transaction;
    const int done = modsecProcessResponse(request);
    ms2_current = NULL;
    const int result = outcome(transaction, done, error);
    if (result == MS2_GO_ON) {
        char *after = NULL;
        apr_size_t length = 0;
        const int flat = apr_brigade_pflatten(brigade, &after, &length, pool) == APR_SUCCESS;
        if (flat && (length != body.length || memcmp(after, body.start, length) != 0)) {
            *rewritten = (ms2_bytes){after, length};
        }
    }
    return result;
}

ms2_intervention ms2_intervention_of(const ms2_transaction *transaction) {
    const msre_actionset *actions = transaction->msr->intercept_actionset;
    ms2_intervention found = {transaction->status, 0, {NULL, 0}};
    if (!transaction->msr->was_intercepted || actions == NULL) {
        return found;
    }
    found.drops = actions->intercept_action == ACTION_DROP;
    if (actions->intercept_action == ACTION_REDIRECT) {
        const char *url = apr_table_get(transaction->request->headers_out, "Location");
        found.url = (ms2_bytes){url == NULL ? "" : url, url == NULL ? 0 : strlen(url)};
    }
    return found;
}

int ms2_process_logging(ms2_transaction *transaction, int status, ms2_bytes *trouble) {
    if (status != 0) {
        transaction->request->status = status;
        transaction->request->status_line = NULL;
    }
    ms2_current = transaction;
    hookfn_log_transaction(transaction->request);
    ms2_current = NULL;
    if (transaction->lost_record != NULL) {
        *trouble = (ms2_bytes){transaction->lost_record, strlen(transaction->lost_record)};
    }
    /* The engine counts what it wants to write, whether or not it can. */
    return transaction->msr != NULL && transaction->msr->new_auditlog_size > 0;
}

void ms2_matches(const ms2_transaction *transaction, size_t skip,
                 void (*visit)(void *context, const ms2_match *match), void *context) {
    for (size_t i = skip; i < (size_t)transaction->matches->nelts; i++) {
        visit(context, &APR_ARRAY_IDX(transaction->matches, i, ms2_match));
    }
}

ms2_bytes ms2_tx(const ms2_transaction *transaction, ms2_bytes name) {
    if (transaction->msr == NULL || transaction->msr->tx_vars == NULL) {
        return (ms2_bytes){NULL, 0};
    }
    const char *key = apr_pstrmemdup(transaction->pool, name.start, name.length);
    const msc_string *found = (const msc_string *)apr_table_get(transaction->msr->tx_vars, key);
    return found == NULL ? (ms2_bytes){NULL, 0} : (ms2_bytes){found->value, found->value_len};
}
