/*
 * The calls of ModSecurity 2.9 (standalone) that the program makes. The engine is a module of Apache: it needs
 * Apache's records of connection and request, in Apache's pools. They are made here and stay inside.
 *
 * Text is passed as bytes with their length, and is copied where it is needed after the call.
 */
#ifndef MODSECURITY_SPOA_FFI_V2_SHIM_H
#define MODSECURITY_SPOA_FFI_V2_SHIM_H

#include <stddef.h>

typedef struct ms2_rules ms2_rules;
typedef struct ms2_arena ms2_arena;
typedef struct ms2_transaction ms2_transaction;

/* The text of an error, cut to fit and always terminated. */
typedef struct ms2_error {
    char text[512];
} ms2_error;

typedef struct ms2_bytes {
    const char *start;
    size_t length;
} ms2_bytes;

/* Settings after loading. */
typedef struct ms2_summary {
    int engine; /* 1 on, 0 detection only, -1 off */
    int request_body_access;
    int response_body_access;
} ms2_summary;

/* A rule that matched and has the log action. */
typedef struct ms2_match {
    long long rule;
    int phase;
    int disruptive;
    int drops;
    int severity; /* -1: none */
    int line;
    ms2_bytes file;
    ms2_bytes message;
    ms2_bytes data;
    ms2_bytes tags;
} ms2_match;

/* The intervention of a rule or a limit. */
typedef struct ms2_intervention {
    int status;
    int drops;
    ms2_bytes url; /* of a redirect; else start is NULL */
} ms2_intervention;

/* The outcome of a phase: the transaction goes on, is to be intervened in, or has failed with an error text. */
enum { MS2_GO_ON = 0, MS2_INTERVENE = 1, MS2_FAILED = -1 };

/*
 * Initialises the engine, once in a process and before anything else. Audit logs name `server` as the server. Returns
 * 0, or -1 with an error.
 */
int ms2_init(const char *server, ms2_error *error);
/* Readies a process that was forked after rules were loaded, before its first transaction. */
void ms2_begin_process(void);

/* Returns an empty set of rules, which lives until the process ends; NULL when there is no memory. */
ms2_rules *ms2_rules_new(void);
/* Adds the directives of a file. Rules of a built-in file get a file name of "". Returns 0, or -1 with an error. */
int ms2_rules_add_file(ms2_rules *rules, const char *path, int is_built_in, ms2_error *error);
ms2_summary ms2_rules_summary(const ms2_rules *rules);
/* Calls `visit` with the id of each rule, without markers; 0 for a rule without one. Links of a chain follow one another. */
void ms2_rules_each(const ms2_rules *rules, void (*visit)(void *context, long long rule), void *context);

/* The memory of the transactions of one thread, which it must outlive. NULL when there is no memory. */
ms2_arena *ms2_arena_new(void);
void ms2_arena_free(ms2_arena *arena);

/* NULL when there is no memory. */
ms2_transaction *ms2_transaction_new(ms2_arena *arena, ms2_rules *rules, ms2_bytes id);
void ms2_transaction_free(ms2_transaction *transaction);

/* The next calls come before phase 1, in any order. */
void ms2_set_connection(ms2_transaction *transaction, ms2_bytes client, int client_port, ms2_bytes server,
                        int server_port);
/* The path with its query; version as in "1.1". */
void ms2_set_request_line(ms2_transaction *transaction, ms2_bytes method, ms2_bytes uri, ms2_bytes version);
void ms2_add_request_header(ms2_transaction *transaction, ms2_bytes name, ms2_bytes value);
void ms2_set_tx(ms2_transaction *transaction, ms2_bytes name, ms2_bytes value);
/* Excludes the rule from this transaction. */
void ms2_ignore_rule(ms2_transaction *transaction, long long rule);

/* Runs phase 1. `body_length` says whether a body follows, whatever the headers say. */
int ms2_process_request_headers(ms2_transaction *transaction, size_t body_length, ms2_error *error);
/* Returns which parser will read the body, as phase 1 leaves it: 0 none, 1 URLENCODED, 2 MULTIPART, 3 JSON, 4 XML. */
int ms2_body_processor(const ms2_transaction *transaction);
/* Runs phase 2. */
int ms2_process_request_body(ms2_transaction *transaction, ms2_bytes body, ms2_error *error);

/* Forgets an intervention of the request's phases, so that the response's phases run. Nothing before phase 1. */
void ms2_forget_intervention(ms2_transaction *transaction);

void ms2_add_response_header(ms2_transaction *transaction, ms2_bytes name, ms2_bytes value);
/*
 * Runs phases 3 and 4. `rewritten` is the body as rules have changed it, and lives as long as the transaction; its
 * start is NULL when no rule has changed the body.
 */
int ms2_process_response(ms2_transaction *transaction, int status, ms2_bytes version, ms2_bytes body,
                         ms2_bytes *rewritten, ms2_error *error);

/* After MS2_INTERVENE. The URL lives as long as the transaction. */
ms2_intervention ms2_intervention_of(const ms2_transaction *transaction);

/*
 * Runs phase 5 and writes the audit log. `status` is that of a denial, 0 when there is none. Returns whether there was an
 * audit record to write. The start of `trouble` stays as it is unless the engine could not write all of the record; then
 * the text lives as long as the transaction.
 */
int ms2_process_logging(ms2_transaction *transaction, int status, ms2_bytes *trouble);

/* Calls `visit` for each match up to now, in order, without the first `skip`. */
void ms2_matches(const ms2_transaction *transaction, size_t skip, void (*visit)(void *context, const ms2_match *match),
                 void *context);

/* The text of TX:name; its start is NULL when the variable does not exist. */
ms2_bytes ms2_tx(const ms2_transaction *transaction, ms2_bytes name);

/* What libinjection finds, or that its parser failed: not 0. */
int ms2_is_sqli(ms2_bytes value);
int ms2_is_xss(ms2_bytes value);

#endif
