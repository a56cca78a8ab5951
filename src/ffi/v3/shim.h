/*
 * The calls of libmodsecurity that the program makes: its own C API, and a shim that
 *   - turns C++ exceptions, which some operators throw, into errors: an exception must not unwind into Rust;
 *   - reads from the C++ classes what the C API does not offer: the rules that matched, and those that are loaded.
 */
#ifndef MODSECURITY_SPOA_V3_SHIM_H
#define MODSECURITY_SPOA_V3_SHIM_H

#include <stddef.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

#ifdef __cplusplus
using modsecurity::ModSecurity;
using modsecurity::ModSecurityIntervention;
using modsecurity::RulesSet;
using modsecurity::Transaction;
extern "C" {
#endif

/* The text of an exception, cut to fit and always terminated. */
typedef struct mss_error {
    char text[512];
} mss_error;

/* Bytes that are valid during the call to which they are passed. */
typedef struct mss_bytes {
    const char *start;
    size_t length;
} mss_bytes;

/* One rule that matched and has the log action. */
typedef struct mss_match {
    long long rule;
    int phase;
    /* Whether the rule intervened. */
    int disruptive;
    /* Whether the rule's action, or the action of SecDefaultAction that its `block` stands for, is `drop`. */
    int drops;
    /* 0 (emergency) to 7 (debug); -1: none. */
    int severity;
    int line;
    mss_bytes file;
    mss_bytes message;
    mss_bytes data;
    /* Separated by commas. */
    mss_bytes tags;
} mss_match;

/* Settings after loading. */
typedef struct mss_settings {
    /* 1: rules deny. 0: detection only. -1: off or not set, nothing is evaluated. */
    int engine;
    int request_body_access;
    int response_body_access;
} mss_settings;

/* Keeps the library from printing matches to standard error; mss_matches lists them. */
void mss_silence(ModSecurity *engine);

/* Flushes the buffers of C and C++ for standard output. */
void mss_flush_output(void);

/* Seeds rand(3) from the system's random bytes, if there are any. */
void mss_reseed(void);

/* The version of libmodsecurity that the shim was compiled for, like "3.0.9". */
const char *mss_compiled_version(void);

/*
 * The calls below return 0 on success, and -1 with an error after an exception or when the library reports a failure.
 */
int mss_rules_add_file(RulesSet *rules, const char *path, mss_error *error);
int mss_rules_add(RulesSet *rules, const char *directives, const char *name, mss_error *error);
int mss_rules_settings(RulesSet *rules, mss_settings *settings, mss_error *error);

/* Calls `visit` with the id of each rule, without markers; 0 for a rule without one. Links of a chain follow one another. */
int mss_rules(RulesSet *rules, void (*visit)(void *context, long long rule), void *context, mss_error *error);

/* NULL after an exception. The id is copied. */
Transaction *mss_transaction_new(ModSecurity *engine, RulesSet *rules, const char *id, mss_error *error);
/* Sets TX:name before any phase runs. */
int mss_set_tx(Transaction *transaction, const char *name, const char *value, mss_error *error);
/* Excludes the rule from this transaction. */
int mss_ignore_rule(Transaction *transaction, long long rule, mss_error *error);
int mss_process_connection(Transaction *transaction, const char *client, int client_port, const char *server,
                           int server_port, mss_error *error);
int mss_process_uri(Transaction *transaction, const char *uri, const char *method, const char *version,
                    mss_error *error);
/*
 * After mss_process_uri: gives rules the whole of the decoded path as REQUEST_FILENAME, PATH_INFO and REQUEST_BASENAME
 * where the library has cut it at a question mark that was escaped. Returns 1 when it did.
 */
int mss_restore_path(Transaction *transaction, mss_bytes path, mss_error *error);
int mss_add_request_header(Transaction *transaction, mss_bytes name, mss_bytes value, mss_error *error);
int mss_process_request_headers(Transaction *transaction, mss_error *error);
/* Returns which parser will read the body, as phase 1 leaves it: 0 none, 1 URLENCODED, 2 MULTIPART, 3 JSON, 4 XML. */
int mss_body_processor(Transaction *transaction, mss_error *error);
int mss_append_request_body(Transaction *transaction, mss_bytes body, mss_error *error);
int mss_process_request_body(Transaction *transaction, mss_error *error);
int mss_add_response_header(Transaction *transaction, mss_bytes name, mss_bytes value, mss_error *error);
int mss_process_response_headers(Transaction *transaction, int status, const char *protocol, mss_error *error);
int mss_append_response_body(Transaction *transaction, mss_bytes body, mss_error *error);
int mss_process_response_body(Transaction *transaction, mss_error *error);
int mss_update_status_code(Transaction *transaction, int status, mss_error *error);
int mss_process_logging(Transaction *transaction, char *path, size_t size, mss_error *error);

/* Returns 1 when the library intervenes, 0 when not. The caller has to free url and log, which come from malloc. */
int mss_intervention(Transaction *transaction, ModSecurityIntervention *intervention, mss_error *error);

/* Calls `visit` for each match up to now, in order, without the first `skip`. */
int mss_matches(Transaction *transaction, size_t skip, void (*visit)(void *context, const mss_match *match),
                void *context, mss_error *error);

/* Reads the number in TX:name. Returns 1 when there is one, 0 when the variable does not exist or is no number. */
int mss_tx_number(Transaction *transaction, const char *name, long long *number, mss_error *error);

#ifdef __cplusplus
}
#endif

#endif
